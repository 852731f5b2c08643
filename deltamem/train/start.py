"""Starting a training from trained weights: learning to use a memory at all is the slow part."""

import torch

from deltamem.core import Adapter, HFDeltaMemConfig
from deltamem.core.attach import empty_adapter, new_adapter

from .checkpoint import TrainingError

SMALL = 0.1  # of what fresh weights are: how new components of keys and queries begin beside trained ones


def started_from(source: Adapter, config: HFDeltaMemConfig, backbone) -> Adapter:
    """A trainable adapter of `config` that begins with the weights of `source`.

    It may steer more heads and have other layers, more states and a larger rank; what is new is steered by zero at
    first, and new components of keys and queries begin small, so that the larger adapter does at first what the
    smaller one did (with a larger rank: nearly). One state can be taken out of several. A gate bias is taken over where
    both write the same way: gates of whole messages work on another scale than those of tokens. Raises TrainingError
    for a smaller rank, and for fewer states unless it is one.
    """
    had, wanted = source.config.num_state_heads, config.num_state_heads
    if source.config.rank > config.rank or 1 < wanted < had:
        raise TrainingError(
            f"An adapter of rank {source.config.rank} with {had} states cannot start one of rank {config.rank} with "
            f"{wanted}; keep the rank or take a larger one, and take as many states or more, or one."
        )
    adapter = new_adapter(backbone, config)
    plain = empty_adapter(backbone, config)
    same_writes = config.memory_write_granularity == source.config.memory_write_granularity
    with torch.no_grad():
        for name, layer in adapter.layers.items():
            if name not in source.layers:
                continue
            old = source.layers[name]
            taken, factor = ([_strongest(old, source.config.rank)], 2.0) if wanted < had else (list(range(had)), 1.0)
            for parameter, new in layer.named_parameters():
                weight = getattr(old, parameter, None)
                if parameter.startswith("delta_"):
                    new.copy_(getattr(plain.layers[name], parameter))
                    if weight is not None:
                        _copy_states(weight.T * factor, new.T, had, wanted, taken)
                elif weight is not None and (same_writes or parameter != "beta_bias"):
                    if parameter in ("memory_q_proj", "memory_k_proj") and config.rank > source.config.rank:
                        new.mul_(SMALL)
                    _copy_states(weight, new, had, wanted, taken)
    return adapter.requires_grad_(True)


def _copy_states(old, new, had: int, wanted: int, taken: list[int]) -> None:
    """States `taken` of `had` into the first of `wanted`; dimension 0 holds their components, state by state."""
    found = old.unflatten(0, (had, -1))[taken]
    new.unflatten(0, (wanted, -1))[: len(taken), : found.shape[1]] = found


def _strongest(layer, rank: int) -> int:
    """The state that writes and steers most."""
    values = layer.memory_v_proj.unflatten(0, (-1, rank)).flatten(1).norm(dim=1)
    steering = layer.delta_o_proj.unflatten(1, (-1, rank)).norm(dim=(0, 2))
    return int((values * steering).argmax())
