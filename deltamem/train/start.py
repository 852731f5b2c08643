"""Starting a training from trained weights."""

from dataclasses import replace

import torch

from deltamem.core import Adapter, DeltaMemError
from deltamem.core.attach import empty_adapter


def started_from(source: Adapter, states: int, backbone) -> Adapter:
    """A trainable adapter with `states` states a layer and the weights of `source`.

    One state can be taken out of several: learning to use a memory at all is the slow part of a training, and one of
    several states that work together has already learnt it.
    """
    if source.config.num_state_heads == states:
        return source.requires_grad_(True)
    if states != 1:
        raise DeltaMemError(
            f"An adapter with {source.config.num_state_heads} states cannot start one with {states}; take one with as "
            "many states, or train one state (tsw)."
        )
    return _narrowed(source, backbone)


def _narrowed(source: Adapter, backbone) -> Adapter:
    """In each layer the state that writes and steers most, its steering doubled to make up for the others."""
    config = source.config
    adapter = empty_adapter(backbone, replace(config, num_state_heads=1))
    for name, layer in adapter.layers.items():
        wide = source.layers[name]
        values = wide.memory_v_proj.unflatten(0, (-1, config.rank)).flatten(1).norm(dim=1)
        steering = wide.delta_o_proj.unflatten(1, (-1, config.rank)).norm(dim=(0, 2))
        state = int((values * steering).argmax())
        rows = slice(state * config.rank, (state + 1) * config.rank)
        with torch.no_grad():
            for parameter, kept in layer.named_parameters():
                weight = getattr(wide, parameter)
                kept.copy_(weight[:, rows] * 2 if parameter.startswith("delta_") else weight[rows])
    return adapter.requires_grad_(True)
