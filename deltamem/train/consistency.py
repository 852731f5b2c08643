"""The loss of state consistency: what is asked for is to be read as it stood right after it was told.

A reply learns what the memory holds when it is asked for; that later writes spare what is not theirs is learnt from
it only by way of the whole backbone. This term says so layer by layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from .batches import Slot

EPSILON = 1e-3  # added to the squared length of a read: where next to nothing was written, nothing is to be kept


@contextmanager
def layer_inputs(layers: dict) -> Iterator[dict[str, Tensor]]:
    """Inside, a pass leaves what every layer projects: module name -> [B, T, hidden]."""
    found: dict[str, Tensor] = {}

    def note(name, layer, args):
        found[name] = args[0]  # as it is: a layer that runs again in the backward pass must do the same as at first

    handles = [layer.register_forward_pre_hook(partial(note, name)) for name, layer in layers.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def disturbance(q: Tensor, history: list[Tensor], slot: Slot) -> tuple[Tensor, Tensor]:
    """How far the reads of a turn's targets are from those of the state that was told what they ask for.

    q: [B, L, H, N, r] of the targets. history: after each turn so far, the states of all layers [B, L, H, r, r].
    Returns the sum over targets of |now - told|² / (|told|² + EPSILON), mean over layers, all states of a layer read as
    one vector, and the number of targets, both of the rows whose slot.told names a turn. No gradient goes to what was
    read when it was told.
    """
    rows = torch.arange(len(slot.told), device=slot.told.device)
    before = torch.stack([states.detach() for states in history])[slot.told.clamp_min(0), rows]
    now = q @ history[-1].transpose(-1, -2)
    told = (q @ before.transpose(-1, -2)).detach()
    moved, length = (x.square().sum(dim=(2, 4)) for x in (now - told, told))  # [B, L, N]
    each = (moved / (length + EPSILON)).mean(dim=1)
    there = (slot.targets >= 0) & (slot.told >= 0)[:, None]
    return (each * there).sum(), there.sum()
