"""Which tokens of a pass are real: from the 2-D attention mask, never from a 4-D one.

A 4-D mask means different things under different attention backends. `generate()` with a static cache makes one before
the model sees the 2-D mask, so the 2-D mask is noted where generate prepares its inputs.
"""

from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from .errors import MaskError

# A 1-tuple with the 2-D mask (or None: all valid) that belongs to the next pass.
_NOTED: ContextVar[tuple[Tensor | None] | None] = ContextVar("delta_mem_noted_mask", default=None)


def prepare_inputs(self: nn.Module, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """A model's `prepare_inputs_for_generation` that also notes the 2-D mask."""
    inputs = type(self).prepare_inputs_for_generation(self, *args, **kwargs)
    mask = kwargs.get("attention_mask")
    if mask is None or (isinstance(mask, Tensor) and mask.ndim == 2):
        _NOTED.set((mask,))
    return inputs


def valid_tokens(mask: Any, explicit: Tensor | None, shape: tuple[int, int], device: torch.device) -> Tensor | None:
    """bool [B, T] of the pass, or None when all tokens are valid.

    Args:
        mask: the `attention_mask` given to the model: None, 2-D [B, past + T], or anything else.
        explicit: bool [B, T] that overrules it.
        shape: (B, T).

    Raises:
        MaskError: a mask of the wrong shape, or one that does not tell which tokens are valid.
    """
    noted = _NOTED.get()
    _NOTED.set(None)
    if explicit is not None:
        if tuple(explicit.shape) != shape:
            raise MaskError(f"valid has shape {list(explicit.shape)} but the pass has {list(shape)} tokens")
        return explicit.to(device=device, dtype=torch.bool)
    two_d = isinstance(mask, Tensor) and mask.ndim == 2
    if mask is not None and not two_d:
        if noted is None:
            kind = f"a {mask.ndim}-D tensor" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
            raise MaskError(
                f"the attention mask is {kind}, from which valid tokens cannot be told; give the model a 2-D mask "
                f"[batch, tokens], or bind the pass with Binding(valid=...)"
            )
        mask = noted[0]
    if mask is None:
        return None
    if mask.shape[0] != shape[0] or mask.shape[1] < shape[1]:
        raise MaskError(
            f"the attention mask has shape {list(mask.shape)} but the pass has {list(shape)} tokens; "
            f"give one row for each batch row, covering the cached tokens and the new ones"
        )
    return mask[:, -shape[1] :].to(device) != 0
