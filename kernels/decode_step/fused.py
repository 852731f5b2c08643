"""The single-token step as one launch. Same contract as `decode_step_naive`.

Without steering a program is one state of one batch row. With it, a program is a block of the steered projection's
columns: each computes the few reads it needs for itself, and one of them writes each new state.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..activations import tanh, unit
from ..launch import check_rank, on_device_of
from ..overlap import let_next_begin, overlap, wait
from .naive import UPDATES, check_step

MAX_RANK = 64
COLUMNS = 128  # of the steered projection, for one program


@triton.jit
def read_and_write(
    packed_ptr, state_ptr, after_ptr, reads_ptr, row, head, writes, stores,
    H, R: tl.constexpr, RP: tl.constexpr, NORMALIZE: tl.constexpr, COUPLED: tl.constexpr, UPDATE: tl.constexpr,
):  # fmt: skip
    """The reads [RP] of one state; `stores`: put them and the new state away."""
    index = tl.arange(0, RP)
    inside = index < R
    tile = index[:, None] * R + index[None, :]
    tile_inside = inside[:, None] & inside[None, :]
    at = packed_ptr + head * R + index
    q = tl.load(at, mask=inside, other=0.0)
    k = tl.load(at + H * R, mask=inside, other=0.0)
    v = tl.load(at + 2 * H * R, mask=inside, other=0.0)
    beta = tl.sigmoid(tl.load(at + 3 * H * R, mask=inside, other=0.0))
    if COUPLED:
        lam = 1.0 - beta
    else:
        lam = tl.sigmoid(tl.load(at + 4 * H * R, mask=inside, other=0.0))
    base = (row * H + head) * R * R
    state = tl.load(state_ptr + base + tile, mask=tile_inside, other=0.0)
    if NORMALIZE:
        q, k = unit(tanh(q)), unit(tanh(k))
    read = tl.sum(state * q[None, :], axis=1)
    if stores:
        erase = beta
        if UPDATE == 1:
            erase = lam * beta
        change = beta * v - erase * tl.sum(state * k[None, :], axis=1)
        kept = state
        if UPDATE != 2:
            kept = lam[:, None] * state
        new = tl.where(writes, kept + change[:, None] * k[None, :], state)
        tl.store(after_ptr + base + tile, new, mask=tile_inside)
        tl.store(reads_ptr + (row * H + head) * R + index, read, mask=inside)
    return read


@triton.jit
def _step_kernel(
    packed_ptr, state_ptr, after_ptr, reads_ptr, write_ptr, steered_ptr, weight_ptr, scale_ptr,
    packed_b, steered_b, N,
    H: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, COLUMNS: tl.constexpr, NORMALIZE: tl.constexpr,
    COUPLED: tl.constexpr, UPDATE: tl.constexpr, HAS_WRITE: tl.constexpr, STEERS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """A state of a row; or, with STEERS, some columns of a row's steered projection, and its share of the states."""
    let_next_begin(OVERLAP)
    wait(OVERLAP)
    row, program = tl.program_id(0), tl.program_id(1)
    packed_ptr += row * packed_b
    writes = True
    if HAS_WRITE:
        writes = tl.load(write_ptr + row) != 0
    if STEERS:
        columns = program * COLUMNS + tl.arange(0, COLUMNS)
        index = tl.arange(0, RP)
        tile_inside = (columns < N)[:, None] & (index < R)[None, :]
        delta = tl.zeros([COLUMNS], tl.float32)
        for head in range(H):
            stores = program == head % tl.num_programs(1)
            read = read_and_write(
                packed_ptr, state_ptr, after_ptr, reads_ptr, row, head, writes, stores,
                H, R, RP, NORMALIZE, COUPLED, UPDATE,
            )  # fmt: skip
            weight = tl.load(
                weight_ptr + columns[:, None] * (H * R) + head * R + index[None, :], mask=tile_inside, other=0.0
            )
            delta += tl.sum(weight * read[None, :], axis=1)
        scale = tl.load(scale_ptr + row)
        at = steered_ptr + row * steered_b + columns
        y = tl.load(at, mask=columns < N, other=0.0)
        corrected = (y.to(tl.float32) + scale * delta).to(y.dtype)
        tl.store(at, tl.where(scale == 0.0, y, corrected), mask=columns < N)
    else:
        read_and_write(
            packed_ptr, state_ptr, after_ptr, reads_ptr, row, program, writes, True,
            H, R, RP, NORMALIZE, COUPLED, UPDATE,
        )  # fmt: skip


def decode_step_fused(
    packed: Tensor,
    state: Tensor,
    after: Tensor | None = None,
    *,
    normalize_qk: bool = True,
    update: str = "standard",
    write: Tensor | None = None,
    steered: Tensor | None = None,
    weight: Tensor | None = None,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Read and write one token on a GPU (or under TRITON_INTERPRET=1). `packed`, `state`, `weight` are float32."""
    coupled = check_step(packed, state, after, update, steered, weight, scale)
    check_rank(state.shape[-1], MAX_RANK)
    batch, heads, rank, _ = state.shape
    state = state.contiguous()
    if after is None:
        after = torch.empty_like(state)
    reads = torch.empty(batch, heads * rank, dtype=torch.float32, device=state.device)
    columns = 0 if steered is None else steered.shape[-1]
    unused = reads
    with on_device_of(state):
        _step_kernel[(batch, heads if steered is None else triton.cdiv(columns, COLUMNS))](
            packed, state, after, reads,
            unused if write is None else write.view(torch.uint8) if write.dtype == torch.bool else write,
            unused if steered is None else steered, unused if weight is None else weight,
            unused if scale is None else scale,
            packed.stride(0), 0 if steered is None else steered.stride(0), columns,
            H=heads, R=rank, RP=triton.next_power_of_2(rank), COLUMNS=COLUMNS, NORMALIZE=normalize_qk, COUPLED=coupled,
            UPDATE=UPDATES.index(update), HAS_WRITE=write is not None, STEERS=steered is not None,
            num_warps=4 if steered is not None or rank > 16 else 1, **overlap(state),
        )  # fmt: skip
    return reads, after
