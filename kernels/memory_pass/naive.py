"""The definition of a memory's pass: activations, then the scan token by token."""

import torch
from torch import Tensor

from ..affine_scan.naive import affine_scan_naive


def memory_pass_naive(raw: Tensor, state: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Squash, normalise and gate the projections, then read and write token by token, in the state's dtype.

    Args:
        raw: [B, T, 4 * H * r] in any floating dtype: the projections q, k, v and beta, each [H * r], before tanh and
            L2 norm (q, k) and sigmoid (beta).
        state: [B, H, r, r] float32, r up to 64 in the fast form, rows indexed like v, columns like k.
        mask: bool [B, T] or None; where False the token reads 0, does not write and gets no gradient.

    Returns:
        reads [B, T, H * r] float32, each from before its token's write, and the state after the pass.

    Raises:
        ValueError: shapes that do not fit together.
    """
    check_pass(raw, state, mask)
    reads, final = affine_scan_naive(*scan_inputs(raw, state, mask), state, mask)
    return reads.transpose(1, 2).flatten(2), final


def scan_inputs(raw: Tensor, state: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
    """q, k, v, keep, erase, write of the scan, each [B, H, T, r] in the state's dtype."""
    batch, heads, rank, _ = state.shape
    if mask is not None:
        raw = raw.masked_fill(~mask[..., None], 0.0)
    q, k, v, beta = raw.to(state.dtype).view(batch, -1, 4, heads, rank).transpose(1, 3).unbind(2)
    q, k = (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-6) for x in (q.tanh(), k.tanh()))
    beta = beta.sigmoid()
    return q, k, v, 1.0 - beta, beta, beta


def check_pass(raw: Tensor, state: Tensor, mask: Tensor | None) -> None:
    """Raise ValueError unless the arguments fit."""
    batch, heads, rank, _ = state.shape
    if raw.dim() != 3 or raw.shape[0] != batch or raw.shape[2] != 4 * heads * rank:
        raise ValueError(
            f"raw is {list(raw.shape)} but the state is {list(state.shape)}; give [{batch}, T, {4 * heads * rank}]"
        )
    if mask is not None and mask.shape != raw.shape[:2]:
        raise ValueError(f"mask is {list(mask.shape)} but raw is {list(raw.shape)}; give {list(raw.shape[:2])}")
