"""RMS norm as one launch, a program for each row."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from ..overlap import let_next_begin, overlap, wait
from .naive import check_norm


@triton.jit
def _norm_kernel(
    x_ptr, residual_ptr, weight_ptr, normed_ptr, total_ptr, N, x_t, residual_t, eps,
    NP: tl.constexpr, ADDS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """A row of N numbers, and with ADDS its sum with the residual's row."""
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, NP)
    inside = columns < N
    let_next_begin(OVERLAP)
    weight = tl.load(weight_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    wait(OVERLAP)
    x = tl.load(x_ptr + row * x_t + columns, mask=inside, other=0.0)
    if ADDS:
        residual = tl.load(residual_ptr + row * residual_t + columns, mask=inside, other=0.0)
        x = (x.to(tl.float32) + residual.to(tl.float32)).to(x.dtype)
        tl.store(total_ptr + row * N + columns, x, mask=inside)
    wide = x.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / N + eps)
    normed = weight * (wide * scale).to(x.dtype).to(tl.float32)
    tl.store(normed_ptr + row * N + columns, normed.to(x.dtype), mask=inside)


def rms_norm_fused(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Norm on a GPU (or under TRITON_INTERPRET=1), without gradients. Arguments as in `rms_norm_naive`."""
    return _norm(x, None, weight, eps)[0]


def add_rms_norm_fused(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Norm of a sum, and the sum, on a GPU. Arguments as in `add_rms_norm_naive`."""
    return _norm(x, residual, weight, eps)


def _norm(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    check_norm(x, weight, residual)
    size = x.shape[-1]
    rows = x.reshape(-1, size)
    other = rows if residual is None else residual.reshape(-1, size)
    normed = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    total = normed if residual is None else torch.empty_like(normed)
    block = triton.next_power_of_2(size)
    with on_device_of(x):
        _norm_kernel[(len(rows),)](
            rows, other, weight, normed, total, size, rows.stride(0), other.stride(0), eps,
            NP=block, ADDS=residual is not None, num_warps=min(8, max(1, block // 256)), **overlap(x),
        )  # fmt: skip
    return normed, total
