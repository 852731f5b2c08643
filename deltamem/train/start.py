"""Starting a training from trained weights: learning to use a memory at all is the slow part."""

import torch

from deltamem.core import Adapter, HFDeltaMemConfig
from deltamem.core.attach import empty_adapter, new_adapter

from .checkpoint import TrainingError


def started_from(source: Adapter, config: HFDeltaMemConfig, backbone) -> Adapter:
    """A trainable adapter of `config` that begins with the weights of `source`.

    It may steer more heads and have other layers; new steering weights begin at zero, new layers as fresh ones. One
    state can be taken out of several, and more states be added whose steering begins at zero, so that the larger
    adapter does at first what the smaller one did. A gate bias is taken over where both write the same way: gates of
    whole messages work on another scale than those of tokens.
    """
    if source.config.rank != config.rank or (1 < config.num_state_heads < source.config.num_state_heads):
        raise TrainingError(
            f"An adapter of rank {source.config.rank} with {source.config.num_state_heads} states cannot start one of "
            f"rank {config.rank} with {config.num_state_heads}; keep the rank, and take as many states or more, or one."
        )
    adapter = new_adapter(backbone, config)
    plain = empty_adapter(backbone, config)
    writes = source.config.memory_write_granularity
    rank, had, wanted = config.rank, source.config.num_state_heads, config.num_state_heads
    with torch.no_grad():
        for name, layer in adapter.layers.items():
            if name not in source.layers:
                continue
            old = source.layers[name]
            rows, factor = slice(0, had * rank), 1.0
            if wanted < had:
                state = _strongest(old, rank)
                rows, factor = slice(state * rank, (state + 1) * rank), 2.0
            kept = min(had, wanted) * rank
            for parameter, new in layer.named_parameters():
                weight = getattr(old, parameter, None)
                if parameter.startswith("delta_"):
                    new.copy_(getattr(plain.layers[name], parameter))
                    if weight is not None:
                        new[:, :kept] = weight[:, rows] * factor
                elif parameter == "beta_bias" and config.memory_write_granularity != writes:
                    continue
                elif weight is not None:
                    new[:kept] = weight[rows]
    return adapter.requires_grad_(True)


def _strongest(layer, rank: int) -> int:
    """The state that writes and steers most."""
    values = layer.memory_v_proj.unflatten(0, (-1, rank)).flatten(1).norm(dim=1)
    steering = layer.delta_o_proj.unflatten(1, (-1, rank)).norm(dim=(0, 2))
    return int((values * steering).argmax())
