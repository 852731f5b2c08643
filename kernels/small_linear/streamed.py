"""Small linear maps as one launch: every weight is read once, a program for each few rows of a matrix.

Each program keeps a sum for each of its elements and batch rows, and adds them up at the end: the order of additions
does not depend on the number of batch rows.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from ..overlap import let_next_begin, overlap, wait
from .naive import MAX_MAPS, LowRank, check_linear


@triton.jit
def _dots(x_ptr, x_b, w_ptr, w_n, rows, N, K, B: tl.constexpr, BK: tl.constexpr, OVERLAP: tl.constexpr):
    """Rows of a matrix times each of the B inputs: B vectors. Weights are on their way before x is there."""
    columns = tl.arange(0, BK)[None, :]
    at = w_ptr + rows.to(tl.int64)[:, None] * w_n + columns
    weight = tl.load(at, mask=(rows < N)[:, None] & (columns < K), other=0.0)
    wait(OVERLAP)
    sums = (tl.zeros([rows.shape[0], BK], tl.float32),) * B
    for start in range(0, K, BK):
        later = start + BK + columns < K
        following = tl.load(at + start + BK, mask=(rows < N)[:, None] & later, other=0.0)
        added = ()
        for b in tl.static_range(B):
            x = tl.load(x_ptr + b * x_b + start + columns, mask=start + columns < K, other=0.0)
            added = added + (sums[b] + weight.to(tl.float32) * x.to(tl.float32),)
        sums = added
        weight = following
    dots = ()
    for b in tl.static_range(B):
        dots = dots + (tl.sum(sums[b], axis=1),)
    return dots


@triton.jit
def _map(
    block, x_ptr, x_b, w_ptr, w_n, bias_ptr, y_ptr, N, K, reads_ptr, low_ptr, scale_ptr, W,
    B: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, WP: tl.constexpr, OVERLAP: tl.constexpr,
    BIASED: tl.constexpr, LOW: tl.constexpr,
):  # fmt: skip
    """BN outputs of one matrix for every batch row, corrected and rounded."""
    rows = block * BN + tl.arange(0, BN)
    dots = _dots(x_ptr, x_b, w_ptr, w_n, rows, N, K, B, BK, OVERLAP)
    if BIASED:
        bias = tl.load(bias_ptr + rows, mask=rows < N, other=0.0).to(tl.float32)
    if LOW:
        index = tl.arange(0, WP)
        low = tl.load(
            low_ptr + rows[:, None] * W + index[None, :], mask=(rows < N)[:, None] & (index < W)[None, :], other=0.0
        )
    for b in tl.static_range(B):
        y = dots[b]
        if BIASED:
            y += bias
        if LOW:
            reads = tl.load(reads_ptr + b * W + index, mask=index < W, other=0.0)
            scale = tl.load(scale_ptr + b)
            y = tl.where(scale == 0.0, y, y + scale * tl.sum(low * reads[None, :], axis=1))
        tl.store(y_ptr + b * N + rows, y.to(y_ptr.dtype.element_ty), mask=rows < N)


@triton.jit
def _linear_kernel(
    x_ptr, w0_ptr, w1_ptr, w2_ptr, w3_ptr, bias0_ptr, bias1_ptr, bias2_ptr, bias3_ptr, y0_ptr, y1_ptr, y2_ptr, y3_ptr,
    reads_ptr, low_ptr, scale_ptr, N0, N1, N2, N3, w0_n, w1_n, w2_n, w3_n, x_b, K, W,
    MAPS: tl.constexpr, BIASES: tl.constexpr, LOW: tl.constexpr,
    B: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, WP: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """BN outputs of whichever matrix the program's number falls into. BIASES: a bit for each matrix that has one."""
    let_next_begin(OVERLAP)
    block = tl.program_id(0)
    if block < tl.cdiv(N0, BN):
        _map(block, x_ptr, x_b, w0_ptr, w0_n, bias0_ptr, y0_ptr, N0, K, reads_ptr, low_ptr, scale_ptr, W,
             B, BN, BK, WP, OVERLAP, BIASES % 2 == 1, LOW == 0)  # fmt: skip
    block -= tl.cdiv(N0, BN)
    if MAPS > 1:
        if (block >= 0) & (block < tl.cdiv(N1, BN)):
            _map(block, x_ptr, x_b, w1_ptr, w1_n, bias1_ptr, y1_ptr, N1, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, BN, BK, WP, OVERLAP, BIASES // 2 % 2 == 1, LOW == 1)  # fmt: skip
        block -= tl.cdiv(N1, BN)
    if MAPS > 2:
        if (block >= 0) & (block < tl.cdiv(N2, BN)):
            _map(block, x_ptr, x_b, w2_ptr, w2_n, bias2_ptr, y2_ptr, N2, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, BN, BK, WP, OVERLAP, BIASES // 4 % 2 == 1, LOW == 2)  # fmt: skip
        block -= tl.cdiv(N2, BN)
    if MAPS > 3:
        if block >= 0:
            _map(block, x_ptr, x_b, w3_ptr, w3_n, bias3_ptr, y3_ptr, N3, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, BN, BK, WP, OVERLAP, BIASES // 8 % 2 == 1, LOW == 3)  # fmt: skip


@triton.jit
def _gated_kernel(
    x_ptr,
    gate_ptr,
    up_ptr,
    y_ptr,
    N,
    K,
    x_b,
    gate_n,
    up_n,
    B: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    let_next_begin(OVERLAP)
    rows = tl.program_id(0) * BN + tl.arange(0, BN)
    gates = _dots(x_ptr, x_b, gate_ptr, gate_n, rows, N, K, B, BK, OVERLAP)
    ups = _dots(x_ptr, x_b, up_ptr, up_n, rows, N, K, B, BK, OVERLAP)
    dtype = y_ptr.dtype.element_ty
    for b in tl.static_range(B):
        gate = gates[b].to(dtype).to(tl.float32)  # rounded where a plain module rounds
        gated = (gate * tl.sigmoid(gate)).to(dtype).to(tl.float32)
        y = gated * ups[b].to(dtype).to(tl.float32)
        tl.store(y_ptr + b * N + rows, y.to(dtype), mask=rows < N)


def _blocks(rows: int) -> dict[str, int]:
    """Rows and columns of a program's tile, and its warps, for a number of batch rows.

    A warp takes 256 columns, so that each thread reads 16 bytes of a bfloat16 row at once, of x too. Few rows to a
    program: it then needs few registers, and many of them read at the same time.
    """
    return {"BN": 2 if rows <= 4 else 1, "BK": 1024, "num_warps": 4}


def small_linear_streamed(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None] | None = None,
    low_rank: LowRank | None = None,
) -> list[Tensor]:
    """Linear maps on a GPU (or under TRITON_INTERPRET=1). Arguments as in `small_linear_naive`."""
    biases = check_linear(x, weights, biases, low_rank)
    x = x if x.stride(-1) == 1 else x.contiguous()
    rows, size = x.shape
    outputs = [torch.empty(rows, weight.shape[0], dtype=weight.dtype, device=x.device) for weight in weights]
    index, reads, low, scale = low_rank or (-1, x, x, x)
    width = 1 if low_rank is None else reads.shape[-1]
    options = _blocks(rows)
    programs = sum(triton.cdiv(weight.shape[0], options["BN"]) for weight in weights)

    def padded(values, filler):
        return [*values, *[filler] * (MAX_MAPS - len(weights))]

    with on_device_of(x):
        _linear_kernel[(programs,)](
            x, *padded(weights, weights[0]), *padded([x if bias is None else bias for bias in biases], x),
            *padded(outputs, outputs[0]), reads, low, scale,
            *padded([weight.shape[0] for weight in weights], 0), *padded([weight.stride(0) for weight in weights], 0),
            x.stride(0), size, width,
            MAPS=len(weights), BIASES=sum(2**i for i, bias in enumerate(biases) if bias is not None), LOW=index,
            B=rows, WP=triton.next_power_of_2(width), **options, **overlap(x),
        )  # fmt: skip
    return outputs


def small_gated_linear_streamed(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
    """silu(x gateᵀ) * (x upᵀ) on a GPU (or under TRITON_INTERPRET=1). Arguments as in `small_gated_linear_naive`."""
    check_linear(x, [gate, up], None, None)
    x = x if x.stride(-1) == 1 else x.contiguous()
    rows, size = x.shape
    columns = gate.shape[0]
    y = torch.empty(rows, columns, dtype=gate.dtype, device=x.device)
    options = _blocks(rows)
    with on_device_of(x):
        _gated_kernel[(triton.cdiv(columns, options["BN"]),)](
            x, gate, up, y, columns, size, x.stride(0), gate.stride(0), up.stride(0), B=rows, **options, **overlap(x),
        )  # fmt: skip
    return y
