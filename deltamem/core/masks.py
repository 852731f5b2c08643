"""Which tokens of a pass are real: from the 2-D attention mask, never from a 4-D one.

A 4-D mask means different things under different attention backends.
"""

from typing import Any

import torch
from torch import Tensor

from .errors import MaskError
from .generation import take_noted_mask


def valid_tokens(
    mask: Any, explicit: Tensor | None, past: int | Tensor | None, shape: tuple[int, int], device: torch.device
) -> Tensor | None:
    """bool [B, T] of the pass, or None when all tokens are valid.

    Args:
        mask: the `attention_mask` given to the model: None, 2-D [B, past + T or wider], or anything else.
        explicit: bool [B, T] that overrules it.
        past: tokens in the cache before the pass (a tensor for static caches), None when that cannot be told. Column
            j of the mask is token j of cache and pass together, as in transformers: one mask for a whole prompt or
            a whole static cache may come with every chunk.
        shape: (B, T).

    Raises:
        MaskError: a mask of the wrong shape, or one that does not tell which tokens are valid.
    """
    noted = take_noted_mask()
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
    return _columns(mask, past, shape[1]).to(device) != 0


def _columns(mask: Tensor, past: int | Tensor | None, count: int) -> Tensor:
    """The pass's own columns; the last ones when the mask covers no more than the pass or its past is unknown."""
    last = mask.shape[1] - count
    if last == 0 or past is None:
        return mask[:, last:]
    if isinstance(past, Tensor):  # on the device, and it stays there: a step must not wait for it
        first = past.to(mask.device).clamp(max=last)
        return mask.index_select(1, first + torch.arange(count, device=mask.device))
    first = min(past, last)
    return mask[:, first : first + count]
