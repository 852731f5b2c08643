"""The definition of the scan, one token after another: slow, plain, and what every other form is tested against."""

import torch
from torch import Tensor


def affine_scan_naive(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    erase: Tensor,
    write: Tensor,
    state: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Read, then write, token by token.

    Args:
        q, k, v, keep, erase, write: [B, H, T, r]; the gates are indexed like v, one per state row.
        state: [B, H, r, r], rows indexed like v, columns like k.
        mask: bool [B, T] or None; where False the token reads 0 and does not write.

    Returns:
        reads [B, H, T, r] with reads[t] = S_{t-1} q_t, and the final state [B, H, r, r] after
        S_t = diag(keep_t) S_{t-1} - diag(erase_t) (S_{t-1} k_t) k_tᵀ + diag(write_t) v_t k_tᵀ.

    Raises:
        ValueError: shapes that do not fit together.
    """
    check_scan(q, k, v, keep, erase, write, state, mask)
    reads = []
    for t in range(q.shape[2]):
        read = (state @ q[:, :, t, :, None]).squeeze(-1)
        recalled = (state @ k[:, :, t, :, None]).squeeze(-1)
        change = write[:, :, t] * v[:, :, t] - erase[:, :, t] * recalled
        updated = keep[:, :, t, :, None] * state + change[..., :, None] * k[:, :, t, None, :]
        if mask is not None:
            valid = mask[:, t, None, None]
            read = torch.where(valid, read, 0.0)
            updated = torch.where(valid[..., None], updated, state)
        reads.append(read)
        state = updated
    if not reads:
        return torch.zeros_like(q), state
    return torch.stack(reads, dim=2), state


def check_scan(q, k, v, keep, erase, write, state, mask) -> None:
    """Raise ValueError unless the arguments fit."""
    for name, x in {"k": k, "v": v, "keep": keep, "erase": erase, "write": write}.items():
        if q.dim() != 4 or x.shape != q.shape:
            raise ValueError(f"q is {list(q.shape)} and {name} is {list(x.shape)}; give [B, H, T, r] for both")
    batch, heads, tokens, rank = q.shape
    if state.shape != (batch, heads, rank, rank):
        raise ValueError(f"state is {list(state.shape)} and q {list(q.shape)}; give {[batch, heads, rank, rank]}")
    if mask is not None and mask.shape != (batch, tokens):
        raise ValueError(f"mask is {list(mask.shape)} and q {list(q.shape)}; give {[batch, tokens]}")
