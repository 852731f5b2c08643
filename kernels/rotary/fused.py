"""Rotary positions (and the heads' norms before them) as one launch, a program for each head."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from ..overlap import let_next_begin, overlap, wait
from .naive import HeadNorms


@triton.jit
def _rotate(x_ptr, cos_ptr, sin_ptr, weight_ptr, turned_ptr, eps, D: tl.constexpr, NORMED: tl.constexpr):
    place = tl.arange(0, D)
    partner = (place + D // 2) % D
    x, other = tl.load(x_ptr + place), tl.load(x_ptr + partner)
    dtype = x.dtype
    if NORMED:
        wide = x.to(tl.float32)
        scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / D + eps)
        weight, other_weight = tl.load(weight_ptr + place), tl.load(weight_ptr + partner)
        x = (weight.to(tl.float32) * (wide * scale).to(dtype).to(tl.float32)).to(dtype)
        other = (other.to(tl.float32) * scale).to(dtype).to(tl.float32)
        other = (other_weight.to(tl.float32) * other).to(dtype)
    cos, sin = tl.load(cos_ptr + place).to(tl.float32), tl.load(sin_ptr + place).to(tl.float32)
    sign = tl.where(place < D // 2, -1.0, 1.0)
    straight = (x.to(tl.float32) * cos).to(dtype).to(tl.float32)
    across = (sign * other.to(tl.float32) * sin).to(dtype).to(tl.float32)
    tl.store(turned_ptr + place, (straight + across).to(dtype))


@triton.jit
def _rotary_kernel(
    q_ptr, k_ptr, cos_ptr, sin_ptr, q_weight_ptr, k_weight_ptr, q_turned_ptr, k_turned_ptr,
    q_b, k_b, q_h, k_h, cos_b, sin_b, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, NORMED: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    let_next_begin(OVERLAP)
    wait(OVERLAP)
    row, head = tl.program_id(0), tl.program_id(1)
    cos_ptr += row * cos_b
    sin_ptr += row * sin_b
    if head < HEADS:
        turned = q_turned_ptr + (row * HEADS + head) * D
        _rotate(q_ptr + row * q_b + head * q_h, cos_ptr, sin_ptr, q_weight_ptr, turned, eps, D, NORMED)
    else:
        head -= HEADS
        turned = k_turned_ptr + (row * KV_HEADS + head) * D
        _rotate(k_ptr + row * k_b + head * k_h, cos_ptr, sin_ptr, k_weight_ptr, turned, eps, D, NORMED)


def rotary_fused(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, norms: HeadNorms | None = None
) -> tuple[Tensor, Tensor]:
    """Turn heads on a GPU (or under TRITON_INTERPRET=1). Arguments as in `rotary_naive`."""
    batch, heads, dim = q.shape
    turned = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k)]
    q, k, cos, sin = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, cos, sin))
    weights = (cos, cos) if norms is None else (norms.q, norms.k)
    with on_device_of(q):
        _rotary_kernel[(batch, heads + k.shape[1])](
            q, k, cos, sin, *weights, *turned,
            q.stride(0), k.stride(0), q.stride(1), k.stride(1), cos.stride(0), sin.stride(0),
            0.0 if norms is None else norms.eps,
            HEADS=heads, KV_HEADS=k.shape[1], D=dim, NORMED=norms is not None, num_warps=1, **overlap(q),
        )  # fmt: skip
    return turned[0], turned[1]
