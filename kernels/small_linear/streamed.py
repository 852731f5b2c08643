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
def _weights(pointers, inside):
    """A tile of weights: read once, and first to leave the L1 cache, where x stays."""
    return tl.load(pointers, mask=inside, other=0.0, eviction_policy="evict_first")


@triton.jit
def _first_tiles(at, inside, K, MATRICES: tl.constexpr, BK: tl.constexpr, DEPTH: tl.constexpr):
    """What `_dots` begins with; may be asked for before x is there."""
    tiles = ()
    for step in tl.static_range(DEPTH):
        place = step * BK + tl.arange(0, BK)[None, :]
        for matrix in tl.static_range(MATRICES):
            tiles = tiles + (_weights(at[matrix] + place, inside & (place < K)),)
    return tiles


@triton.jit
def _dots(
    tiles, x_ptr, x_b, at, inside, K,
    MATRICES: tl.constexpr, B: tl.constexpr, LEVELS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    DEPTH: tl.constexpr,
):  # fmt: skip
    """BN rows of matrices times each of the B inputs: [BN, 2**LEVELS], column b * MATRICES + matrix.

    at: for each matrix, pointers [BN, 1] to the beginnings of its rows, of which those `inside` [BN, 1] are there.
    tiles: the first DEPTH of each matrix; so many are on their way at any time.
    """
    columns = tl.arange(0, BK)[None, :]
    sums = (tl.zeros([BN, BK], tl.float32),) * (B * MATRICES)
    for start in range(0, K, BK):
        place = start + DEPTH * BK + columns
        for matrix in tl.static_range(MATRICES):
            tiles = tiles + (_weights(at[matrix] + place, inside & (place < K)),)
        added = ()
        for b in tl.static_range(B):
            x = tl.load(x_ptr + b * x_b + start + columns, mask=start + columns < K, other=0.0).to(tl.float32)
            for matrix in tl.static_range(MATRICES):
                added = added + (sums[b * MATRICES + matrix] + tiles[matrix].to(tl.float32) * x,)
        sums = added
        tiles = tiles[MATRICES:]
    # All in one tensor, so that they meet at one barrier and not at one each.
    sums = sums + (tl.zeros([BN, BK], tl.float32),) * (2**LEVELS - B * MATRICES)
    for level in tl.static_range(LEVELS):
        pairs = ()
        for i in tl.static_range(2 ** (LEVELS - level - 1)):
            pairs = pairs + (tl.join(sums[i], sums[i + 2 ** (LEVELS - level - 1)]),)
        sums = pairs
    return tl.reshape(tl.sum(sums[0], axis=1), [BN, 2**LEVELS])


@triton.jit
def _map(
    block, x_ptr, x_b, w_ptr, w_n, bias_ptr, y_ptr, N, K, reads_ptr, low_ptr, scale_ptr, W,
    B: tl.constexpr, LEVELS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DEPTH: tl.constexpr, WP: tl.constexpr,
    OVERLAP: tl.constexpr, BIASED: tl.constexpr, LOW: tl.constexpr,
):  # fmt: skip
    """BN outputs of one matrix for every batch row, corrected and rounded."""
    rows = block * BN + tl.arange(0, BN)
    inside = (rows < N)[:, None]
    at = (w_ptr + rows.to(tl.int64)[:, None] * w_n,)
    b = tl.arange(0, 2**LEVELS)
    # All is asked for before the sums begin: weights at once, the rest when the kernels before are done.
    tiles = _first_tiles(at, inside, K, 1, BK, DEPTH)
    if BIASED:
        bias = tl.load(bias_ptr + rows, mask=rows < N, other=0.0).to(tl.float32)[:, None]
    if LOW:
        index = tl.arange(0, WP)
        low = tl.load(low_ptr + rows[:, None] * W + index[None, :], mask=inside & (index < W)[None, :], other=0.0)
    wait(OVERLAP)
    if LOW:
        reads = tl.load(
            reads_ptr + b[:, None] * W + index[None, :], mask=(b < B)[:, None] & (index < W)[None, :], other=0.0
        )
        scale = tl.load(scale_ptr + b, mask=b < B, other=0.0)[None, :]
    y = _dots(tiles, x_ptr, x_b, at, inside, K, 1, B, LEVELS, BN, BK, DEPTH)
    if BIASED:
        y += bias
    if LOW:
        y = tl.where(scale == 0.0, y, y + scale * tl.sum(low[:, None, :] * reads[None, :, :], axis=2))
    tl.store(y_ptr + b[None, :] * N + rows[:, None], y.to(y_ptr.dtype.element_ty), mask=inside & (b < B)[None, :])


@triton.jit
def _linear_kernel(
    x_ptr, w0_ptr, w1_ptr, w2_ptr, w3_ptr, bias0_ptr, bias1_ptr, bias2_ptr, bias3_ptr, y0_ptr, y1_ptr, y2_ptr, y3_ptr,
    reads_ptr, low_ptr, scale_ptr, N0, N1, N2, N3, w0_n, w1_n, w2_n, w3_n, x_b, K, W,
    MAPS: tl.constexpr, BIASES: tl.constexpr, LOW: tl.constexpr,
    B: tl.constexpr, LEVELS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DEPTH: tl.constexpr, WP: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """BN outputs of whichever matrix the program's number falls into. BIASES: a bit for each matrix that has one."""
    let_next_begin(OVERLAP)
    block = tl.program_id(0)
    if block < tl.cdiv(N0, BN):
        _map(block, x_ptr, x_b, w0_ptr, w0_n, bias0_ptr, y0_ptr, N0, K, reads_ptr, low_ptr, scale_ptr, W,
             B, LEVELS, BN, BK, DEPTH, WP, OVERLAP, BIASES % 2 == 1, LOW == 0)  # fmt: skip
    block -= tl.cdiv(N0, BN)
    if MAPS > 1:
        if (block >= 0) & (block < tl.cdiv(N1, BN)):
            _map(block, x_ptr, x_b, w1_ptr, w1_n, bias1_ptr, y1_ptr, N1, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, LEVELS, BN, BK, DEPTH, WP, OVERLAP, BIASES // 2 % 2 == 1, LOW == 1)  # fmt: skip
        block -= tl.cdiv(N1, BN)
    if MAPS > 2:
        if (block >= 0) & (block < tl.cdiv(N2, BN)):
            _map(block, x_ptr, x_b, w2_ptr, w2_n, bias2_ptr, y2_ptr, N2, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, LEVELS, BN, BK, DEPTH, WP, OVERLAP, BIASES // 4 % 2 == 1, LOW == 2)  # fmt: skip
        block -= tl.cdiv(N2, BN)
    if MAPS > 3:
        if block >= 0:
            _map(block, x_ptr, x_b, w3_ptr, w3_n, bias3_ptr, y3_ptr, N3, K, reads_ptr, low_ptr, scale_ptr, W,
                 B, LEVELS, BN, BK, DEPTH, WP, OVERLAP, BIASES // 8 % 2 == 1, LOW == 3)  # fmt: skip


@triton.jit
def _gated_kernel(
    x_ptr, gate_ptr, up_ptr, y_ptr, N, K, x_b, gate_n, up_n,
    B: tl.constexpr, LEVELS: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, DEPTH: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """BN outputs for every batch row."""
    let_next_begin(OVERLAP)
    rows = tl.program_id(0) * BN + tl.arange(0, BN)
    place, inside = rows.to(tl.int64)[:, None], (rows < N)[:, None]
    at = (gate_ptr + place * gate_n, up_ptr + place * up_n)
    tiles = _first_tiles(at, inside, K, 2, BK, DEPTH)
    wait(OVERLAP)
    dots = _dots(tiles, x_ptr, x_b, at, inside, K, 2, B, LEVELS, BN, BK, DEPTH)
    dtype = y_ptr.dtype.element_ty
    gate, up = tl.split(tl.reshape(dots.to(dtype).to(tl.float32), [BN, 2 ** (LEVELS - 1), 2]))
    y = (gate * tl.sigmoid(gate)).to(dtype).to(tl.float32) * up  # rounded where a plain module rounds
    b = tl.arange(0, 2 ** (LEVELS - 1))
    tl.store(y_ptr + b[None, :] * N + rows[:, None], y.to(dtype), mask=inside & (b < B)[None, :])


def _options(rows: int, matrices: int, limited: bool) -> dict[str, int]:
    """How programs are made that read so many matrices at a time for so many batch rows.

    A warp takes 256 columns, so that each thread reads 16 bytes of a bfloat16 row at once, of x too. Few rows and two
    warps to a program: it then needs few registers, and many of them read at the same time.

    limited: whether registers are limited to what one row and one matrix (or pair) need. With the few more that a
    compiler takes, the last programs of a matrix wait for others to end: 6% of a step, measured on an H100 with
    programs of four warps. More rows, several matrices or wider weights would spill.
    """
    options = {
        "B": rows,
        "LEVELS": (rows * matrices - 1).bit_length(),
        "BN": 2 if rows <= 4 and matrices == 1 else 1,
        "BK": 512,
        "DEPTH": 2 if rows * matrices <= 2 else 1,  # sums of more leave no registers for tiles on their way
        "num_warps": 2,
    }
    return options | ({"maxnreg": 56 if matrices == 1 else 72} if limited else {})


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
    options = _options(rows, 1, limited=rows == 1 and len(weights) == 1 and weights[0].itemsize == 2)
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
            WP=triton.next_power_of_2(width), **options, **overlap(x),
        )  # fmt: skip
    return outputs


def small_gated_linear_streamed(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
    """silu(x gateᵀ) * (x upᵀ) on a GPU (or under TRITON_INTERPRET=1). Arguments as in `small_gated_linear_naive`."""
    check_linear(x, [gate, up], None, None)
    x = x if x.stride(-1) == 1 else x.contiguous()
    rows, size = x.shape
    columns = gate.shape[0]
    y = torch.empty(rows, columns, dtype=gate.dtype, device=x.device)
    options = _options(rows, 2, limited=rows == 1 and gate.itemsize == 2)
    with on_device_of(x):
        _gated_kernel[(triton.cdiv(columns, options["BN"]),)](
            x, gate, up, y, columns, size, x.stride(0), gate.stride(0), up.stride(0), **options, **overlap(x),
        )  # fmt: skip
    return y
