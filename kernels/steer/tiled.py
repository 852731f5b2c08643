"""The steer in one pass over the output: read once, corrected in registers, written once."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from .naive import check_steer

TILE = {"BT": 64, "BN": 128, "num_warps": 4}  # tokens and columns of a program, and its warps


@triton.jit(do_not_specialize=["T"])
def _steer_kernel(
    output_ptr, reads_ptr, weight_ptr, result_ptr, T, N, output_t, reads_t, factor,
    W: tl.constexpr, BT: tl.constexpr, BN: tl.constexpr, BW: tl.constexpr,
):  # fmt: skip
    """A block of tokens and columns: output [T, N] + factor * (reads [T, W] @ weight [N, W]ᵀ)."""
    # Programs that run side by side take neighbouring columns: together they walk whole rows of the output.
    column_blocks = tl.cdiv(N, BN)
    tokens = (tl.program_id(0) // column_blocks * BT + tl.arange(0, BT)).to(tl.int64)
    columns = tl.program_id(0) % column_blocks * BN + tl.arange(0, BN)
    inside = (tokens < T)[:, None] & (columns < N)[None, :]
    y = tl.load(output_ptr + tokens[:, None] * output_t + columns[None, :], mask=inside, other=0.0)  # on its way
    delta = tl.zeros([BT, BN], tl.float32)
    for start in range(0, W, BW):
        index = start + tl.arange(0, BW)
        reads = tl.load(
            reads_ptr + tokens[:, None] * reads_t + index[None, :],
            mask=(tokens < T)[:, None] & (index < W)[None, :],
            other=0.0,
        )
        weight = tl.load(
            weight_ptr + columns[None, :] * W + index[:, None],
            mask=(columns < N)[None, :] & (index < W)[:, None],
            other=0.0,
        )
        # Three TF32 products are as good as float32 and leave the time to the memory.
        delta = tl.dot(reads, weight, delta, input_precision="tf32x3")
    result = (y.to(tl.float32) + factor * delta).to(y.dtype)
    tl.store(result_ptr + tokens[:, None] * N + columns[None, :], result, mask=inside)


def steer_tiled(output: Tensor, reads: Tensor, weight: Tensor, factor: float = 1.0) -> Tensor:
    """Steer on a GPU (or under TRITON_INTERPRET=1), without gradients. Arguments as in `steer_naive`."""
    check_steer(output, reads, weight)
    columns, width = weight.shape
    rows, rows_read = _rows(output), _rows(reads)
    result = torch.empty(output.shape, dtype=output.dtype, device=output.device)
    with on_device_of(output):
        _steer_kernel[(triton.cdiv(len(rows), TILE["BT"]) * triton.cdiv(columns, TILE["BN"]),)](
            rows, rows_read, weight.contiguous(), result, len(rows), columns,
            rows.stride(0), rows_read.stride(0), factor, W=width, BW=32 if width > 16 else 16, num_stages=1, **TILE,
        )  # fmt: skip
    return result


def _rows(x: Tensor) -> Tensor:
    """[..., N] as rows [M, N], each contiguous; a view where that is possible."""
    x = x.reshape(-1, x.shape[-1])
    return x if x.stride(-1) == 1 else x.contiguous()
