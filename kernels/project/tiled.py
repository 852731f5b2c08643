"""The memory's projections as one launch: a program for a stretch of tokens, which reads them once, as they are.

Three TF32 products stand for one in float32. Of a bfloat16 or float16 number the first part is all there is, so that
nothing is lost but what float32 itself would round.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from .naive import check_project


@triton.jit(do_not_specialize=["T"])
def _project_kernel(
    x_ptr, weight_ptr, bias_ptr, invalid_ptr, y_ptr, T, K, P, x_t, weight_p,
    BT: tl.constexpr, BK: tl.constexpr, BP: tl.constexpr, BIASED: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """A stretch of tokens: x [T, K] @ weight [P, K]ᵀ + bias [P]."""
    tokens = (tl.program_id(0) * BT + tl.arange(0, BT)).to(tl.int64)
    outputs = tl.program_id(1) * BP + tl.arange(0, BP)
    there = tokens < T
    if MASKED:
        there = there & (tl.load(invalid_ptr + tokens, mask=there, other=1) == 0)
    sums = tl.zeros([BT, BP], tl.float32)
    for start in range(0, K, BK):
        index = start + tl.arange(0, BK)
        x = tl.load(
            x_ptr + tokens[:, None] * x_t + index[None, :], mask=there[:, None] & (index < K)[None, :], other=0.0
        )
        weight = tl.load(
            weight_ptr + outputs[None, :] * weight_p + index[:, None],
            mask=(outputs < P)[None, :] & (index < K)[:, None],
            other=0.0,
        )
        sums = tl.dot(x.to(tl.float32), weight, sums, input_precision="tf32x3")
    if BIASED:
        sums += tl.load(bias_ptr + outputs, mask=outputs < P, other=0.0)[None, :]
    tl.store(y_ptr + tokens[:, None] * P + outputs[None, :], sums, mask=(tokens < T)[:, None] & (outputs < P)[None, :])


def project_tiled(x: Tensor, weight: Tensor, bias: Tensor | None = None, invalid: Tensor | None = None) -> Tensor:
    """Projections on a GPU (or under TRITON_INTERPRET=1), without gradients. Arguments as in `project_naive`."""
    check_project(x, weight, bias, invalid)
    rows = x.reshape(-1, x.shape[-1])
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    count, size = rows.shape
    width = weight.shape[0]
    y = torch.empty(*x.shape[:-1], width, dtype=torch.float32, device=x.device)
    BT, BP = 128, min(128, max(16, triton.next_power_of_2(width)))
    with on_device_of(x):
        _project_kernel[(triton.cdiv(count, BT), triton.cdiv(width, BP))](
            rows, weight, y if bias is None else bias,
            y if invalid is None else invalid.contiguous().view(torch.uint8), y,
            count, size, width, rows.stride(0), weight.stride(0),
            BT=BT, BK=32, BP=BP, BIASED=bias is not None, MASKED=invalid is not None,
            num_warps=8, num_stages=4 if BP <= 32 else 3,
        )  # fmt: skip
    return y
