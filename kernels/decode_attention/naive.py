"""The definition of decode attention."""

import torch
from torch import Tensor


def decode_attention_naive(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale * q kᵀ) v over the first `lengths[b]` places of each row's cache, in float32, rounded once.

    Args:
        q: [B, Hq, D] of the new token, D 16, 32, 64, 128 or 256 in the fast form.
        k, v: [B, Hkv, L, D] caches that already hold the new token, any strides with the last dimension contiguous;
            Hq is a multiple of Hkv, and query head h reads KV head h // (Hq // Hkv). What lies behind a row's length
            does not matter, NaN included.
        lengths: [B] int32 on the device, from 1 to L (0 gives 0).
        scale: 1 / sqrt(D) by default.

    Returns:
        [B, Hq, D] in q's dtype.

    Raises:
        ValueError: shapes or dtypes that do not fit.
    """
    check_attention(q, k, v, lengths)
    batch, heads, dim = q.shape
    kv_heads, capacity = k.shape[1:3]
    scale = dim**-0.5 if scale is None else scale
    inside = torch.arange(capacity, device=q.device) < lengths[:, None]  # [B, L]
    k, v = (torch.where(inside[:, None, :, None], x.float(), 0.0) for x in (k, v))
    grouped = q.float().view(batch, kv_heads, heads // kv_heads, dim)
    scores = (grouped @ k.transpose(-1, -2) * scale).masked_fill(~inside[:, None, None], float("-inf"))
    weights = torch.softmax(scores, dim=-1).nan_to_num(0.0)  # a row of length 0 has no weights
    return (weights @ v).flatten(1, 2).to(q.dtype)


def check_attention(q, k, v, lengths) -> None:
    """Raise ValueError unless the arguments fit."""
    batch, heads, dim = q.shape
    if k.shape != v.shape or k.shape[0] != batch or k.shape[3] != dim or heads % k.shape[1]:
        raise ValueError(
            f"q {list(q.shape)}, k {list(k.shape)} and v {list(v.shape)} do not fit; "
            f"give [B, Hq, D] and twice [B, Hkv, L, D] with Hq a multiple of Hkv"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype}; give one dtype")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(f"lengths is {list(lengths.shape)}; give [{batch}]")
