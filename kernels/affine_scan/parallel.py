"""The scan on a GPU: chunks of tokens run side by side, forward and backward.

A token takes a state row s to s (keep I - erase k kᵀ) + write v k: an affine map, with gates of the row's own. Three
launches go forward:

    maps      for each chunk and row, the product M of its tokens' matrices and the offset o, from nothing
    walk      chunk by chunk, start of the next = start M + o; a few hundred steps in place of T
    replay    each chunk again from its true start, writing the reads

A short sequence is one chunk, and one launch. The gradient g of a row runs the other way by the same matrices, which
are symmetric: g_{t-1} = g_t (keep I - erase k kᵀ) + d_read q. So Mᵀ takes it through a chunk, and the same three steps
go backward; states inside a chunk are computed again from its start. Every sum has one order: results repeat exactly.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of

MAX_RANK = 64
SHORT = 96  # tokens that one program walks sooner than three launches do
MAX_CHUNKS = 4096  # of all rows and heads: enough to fill a GPU
MAP_NUMBERS = 1 << 24  # in all chunk maps together: 64 MiB


@triton.jit
def _load(ptr, t, stride, index, inside, other=0.0):
    return tl.load(ptr + t * stride + index, mask=inside, other=other).to(tl.float32)


@triton.jit
def _width(mask_ptr, b, t, T, R: tl.constexpr, HAS_MASK: tl.constexpr):
    """Numbers to load of a token: none of one that is masked."""
    width = R
    if HAS_MASK:
        width = tl.load(mask_ptr + b * T + t).to(tl.int32) * R
    return width


@triton.jit
def _maps_kernel(
    k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, maps_ptr, offsets_ptr,
    k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t, write_b, write_h, write_t,
    H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    program, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = program // H, program % H
    cols = tl.arange(0, RP)
    rows = tl.program_id(2) * RB + tl.arange(0, RB)
    k_ptr += b * k_b + h * k_h
    v_ptr += b * v_b + h * v_h
    keep_ptr += b * keep_b + h * keep_h
    erase_ptr += b * erase_b + h * erase_h
    write_ptr += b * write_b + h * write_h
    # Columns first: a thread holds a whole column of numbers and adds them up by itself.
    identity = tl.where(cols[:, None, None] == cols[None, None, :], 1.0, 0.0)
    product = identity + tl.zeros([RP, RB, RP], tl.float32)  # [column, row, where the start had its 1]
    offset = tl.zeros([RP, RB], tl.float32)
    for t in range(n * CHUNK, tl.minimum((n + 1) * CHUNK, T)):
        width = _width(mask_ptr, b, t, T, R, HAS_MASK)
        inside, rows_inside = cols < width, rows < width
        k = _load(k_ptr, t, k_t, cols, inside)
        v = _load(v_ptr, t, v_t, rows, rows_inside)
        keep = _load(keep_ptr, t, keep_t, rows, rows_inside, 1.0)
        erase = _load(erase_ptr, t, erase_t, rows, rows_inside)
        write = _load(write_ptr, t, write_t, rows, rows_inside)
        taken = erase[:, None] * tl.sum(product * k[:, None, None], axis=0)
        product = keep[None, :, None] * product - taken[None, :, :] * k[:, None, None]
        change = write * v - erase * tl.sum(offset * k[:, None], axis=0)
        offset = keep[None, :] * offset + change[None, :] * k[:, None]
    chunk = program * N + n
    inside, rows_inside = cols < R, rows < R
    at = (chunk * R + rows[None, :, None]) * R * R + cols[None, None, :] * R + cols[:, None, None]
    everywhere = inside[:, None, None] & rows_inside[None, :, None] & inside[None, None, :]
    tl.store(maps_ptr + at, product, mask=everywhere)
    at = chunk * R * R + rows[None, :] * R + cols[:, None]
    tl.store(offsets_ptr + at, offset, mask=inside[:, None] & rows_inside[None, :])


@triton.jit
def _back_offsets_kernel(
    q_ptr, k_ptr, keep_ptr, erase_ptr, mask_ptr, d_reads_ptr, offsets_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """What each chunk adds to the gradient on its way back."""
    program, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = program // H, program % H
    cols = tl.arange(0, RP)
    rows = tl.program_id(2) * RB + tl.arange(0, RB)
    q_ptr += b * q_b + h * q_h
    k_ptr += b * k_b + h * k_h
    keep_ptr += b * keep_b + h * keep_h
    erase_ptr += b * erase_b + h * erase_h
    d_reads_ptr += program * T * R
    grad = tl.zeros([RP, RB], tl.float32)  # [column, row]
    end = tl.minimum((n + 1) * CHUNK, T)
    for step in range(end - n * CHUNK):
        t = end - 1 - step
        width = _width(mask_ptr, b, t, T, R, HAS_MASK)
        inside, rows_inside = cols < width, rows < width
        q = _load(q_ptr, t, q_t, cols, inside)
        k = _load(k_ptr, t, k_t, cols, inside)
        keep = _load(keep_ptr, t, keep_t, rows, rows_inside, 1.0)
        erase = _load(erase_ptr, t, erase_t, rows, rows_inside)
        d_read = _load(d_reads_ptr, t, R, rows, rows_inside)
        taken = erase * tl.sum(grad * k[:, None], axis=0)
        grad = keep[None, :] * grad - taken[None, :] * k[:, None] + d_read[None, :] * q[:, None]
    at = (program * N + n) * R * R + rows[None, :] * R + cols[:, None]
    tl.store(offsets_ptr + at, grad, mask=(cols < R)[:, None] & (rows < R)[None, :])


@triton.jit
def _walk_kernel(
    first_ptr, maps_ptr, offsets_ptr, places_ptr, N,
    R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """places[n]: the state before chunk n (the gradient after it, BACKWARD), given the first of them."""
    program = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, RP)
    rows = tl.program_id(1) * RB + tl.arange(0, RB)
    inside, rows_inside = cols < R, rows < R
    tile = rows[:, None] * R + cols[None, :]
    tile_inside = rows_inside[:, None] & inside[None, :]
    map_tile = rows[:, None, None] * R * R  # [row, column before, column after]
    if BACKWARD:
        map_tile += cols[None, None, :] * R + cols[None, :, None]
    else:
        map_tile += cols[None, :, None] * R + cols[None, None, :]
    map_inside = rows_inside[:, None, None] & inside[None, :, None] & inside[None, None, :]
    place = tl.load(first_ptr + program * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for step in range(N):
        chunk = program * N + (N - 1 - step if BACKWARD else step)
        matrix = tl.load(maps_ptr + chunk * R * R * R + map_tile, mask=map_inside, other=0.0)
        offset = tl.load(offsets_ptr + chunk * R * R + tile, mask=tile_inside, other=0.0)
        tl.store(places_ptr + chunk * R * R + tile, place, mask=tile_inside)
        place = tl.sum(place[:, :, None] * matrix, axis=1) + offset


@triton.jit
def _replay_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, starts_ptr, reads_ptr, final_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t, H, T, N, CHUNK,
    R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    program, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = program // H, program % H
    cols = tl.arange(0, RP)
    rows = tl.program_id(2) * RB + tl.arange(0, RB)
    q_ptr += b * q_b + h * q_h
    k_ptr += b * k_b + h * k_h
    v_ptr += b * v_b + h * v_h
    keep_ptr += b * keep_b + h * keep_h
    erase_ptr += b * erase_b + h * erase_h
    write_ptr += b * write_b + h * write_h
    reads_ptr += program * T * R
    tile = rows[None, :] * R + cols[:, None]  # [column, row]
    tile_inside = (rows < R)[None, :] & (cols < R)[:, None]
    state = tl.load(starts_ptr + (program * N + n) * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for t in range(n * CHUNK, tl.minimum((n + 1) * CHUNK, T)):
        width = _width(mask_ptr, b, t, T, R, HAS_MASK)
        inside, rows_inside = cols < width, rows < width
        q = _load(q_ptr, t, q_t, cols, inside)
        k = _load(k_ptr, t, k_t, cols, inside)
        v = _load(v_ptr, t, v_t, rows, rows_inside)
        keep = _load(keep_ptr, t, keep_t, rows, rows_inside, 1.0)
        erase = _load(erase_ptr, t, erase_t, rows, rows_inside)
        write = _load(write_ptr, t, write_t, rows, rows_inside)
        tl.store(reads_ptr + t * R + rows, tl.sum(state * q[:, None], axis=0), mask=rows < R)
        change = write * v - erase * tl.sum(state * k[:, None], axis=0)
        state = keep[None, :] * state + change[None, :] * k[:, None]
    if n == N - 1:
        tl.store(final_ptr + program * R * R + tile, state, mask=tile_inside)


@triton.jit
def _back_replay_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, starts_ptr, ends_ptr, d_reads_ptr, history_ptr,
    dq_ptr, dk_ptr, dv_ptr, d_keep_ptr, d_erase_ptr, d_write_ptr, d_state_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t, H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    program, n = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, h = program // H, program % H
    cols, rows = tl.arange(0, RP), tl.arange(0, RP)
    q_ptr += b * q_b + h * q_h
    k_ptr += b * k_b + h * k_h
    v_ptr += b * v_b + h * v_h
    keep_ptr += b * keep_b + h * keep_h
    erase_ptr += b * erase_b + h * erase_h
    write_ptr += b * write_b + h * write_h
    tile = rows[None, :] * R + cols[:, None]  # [column, row]
    tile_inside = (rows < R)[None, :] & (cols < R)[:, None]
    chunk = program * N + n
    start, end = n * CHUNK, tl.minimum((n + 1) * CHUNK, T)
    state = tl.load(starts_ptr + chunk * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for t in range(start, end):
        width = _width(mask_ptr, b, t, T, R, HAS_MASK)
        inside = cols < width
        k = _load(k_ptr, t, k_t, cols, inside)
        v = _load(v_ptr, t, v_t, rows, inside)
        keep = _load(keep_ptr, t, keep_t, rows, inside, 1.0)
        erase = _load(erase_ptr, t, erase_t, rows, inside)
        write = _load(write_ptr, t, write_t, rows, inside)
        tl.store(history_ptr + (program * T + t) * R * R + tile, state, mask=tile_inside)
        change = write * v - erase * tl.sum(state * k[:, None], axis=0)
        state = keep[None, :] * state + change[None, :] * k[:, None]
    tl.debug_barrier()
    grad = tl.load(ends_ptr + chunk * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for step in range(end - start):
        t = end - 1 - step
        width = _width(mask_ptr, b, t, T, R, HAS_MASK)
        inside = cols < width
        q = _load(q_ptr, t, q_t, cols, inside)
        k = _load(k_ptr, t, k_t, cols, inside)
        v = _load(v_ptr, t, v_t, rows, inside)
        keep = _load(keep_ptr, t, keep_t, rows, inside, 1.0)
        erase = _load(erase_ptr, t, erase_t, rows, inside)
        write = _load(write_ptr, t, write_t, rows, inside)
        offset = (program * T + t) * R
        d_read = _load(d_reads_ptr, program * T + t, R, rows, inside)
        before = tl.load(history_ptr + offset * R + tile, mask=tile_inside, other=0.0)
        # grad is dL/dS_t. An invalid token was loaded as zeros with keep 1: only its gate's gradient needs more.
        recalled = tl.sum(before * k[:, None], axis=0)
        d_change = tl.sum(grad * k[:, None], axis=0)
        change = write * v - erase * recalled
        d_recalled = -d_change * erase
        dq = tl.sum(before * d_read[None, :], axis=1)
        dk = tl.sum(grad * change[None, :] + before * d_recalled[None, :], axis=1)
        d_keep = tl.where(inside, tl.sum(grad * before, axis=0), 0.0)
        tl.store(dq_ptr + offset + cols, dq, mask=cols < R)
        tl.store(dk_ptr + offset + cols, dk, mask=cols < R)
        tl.store(dv_ptr + offset + rows, d_change * write, mask=rows < R)
        tl.store(d_keep_ptr + offset + rows, d_keep, mask=rows < R)
        tl.store(d_erase_ptr + offset + rows, -d_change * recalled, mask=rows < R)
        tl.store(d_write_ptr + offset + rows, d_change * v, mask=rows < R)
        grad = keep[None, :] * grad + d_recalled[None, :] * k[:, None] + d_read[None, :] * q[:, None]
    if n == 0:
        tl.store(d_state_ptr + program * R * R + tile, grad, mask=tile_inside)


def chunk_length(tokens: int, states: int, rank: int) -> int:
    """Tokens a chunk, for sequences of so many tokens, so many states side by side (batch rows times heads)."""
    if tokens <= SHORT:
        return tokens
    # A step of the walk takes about as long as a token and a half, and each token is passed twice.
    chunks = tokens // triton.next_power_of_2(round((0.5 * tokens) ** 0.5))
    chunks = max(1, min(chunks, MAX_CHUNKS // states, MAP_NUMBERS // (states * rank**3)))
    return -(-tokens // chunks)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, keep, erase, write, state, mask, chunk):
        batch, heads, tokens, rank = q.shape
        inputs = [x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, keep, erase, write)]
        state = state.contiguous()
        mask = None if mask is None else mask.contiguous().view(torch.uint8)
        some_mask = q if mask is None else mask
        chunk = chunk or chunk_length(tokens, batch * heads, rank)
        chunks = -(-tokens // chunk)
        grid, size = (batch * heads, chunks), (heads, tokens, chunks, chunk)
        options = _options(rank) | {"HAS_MASK": mask is not None}
        strides = [x.stride()[:3] for x in inputs]
        reads = torch.empty(batch, heads, tokens, rank, device=q.device)
        final = torch.empty_like(state)
        maps, starts = reads, state
        with on_device_of(q):
            if chunks > 1:
                maps = reads.new_empty(batch, heads, chunks, rank, rank, rank)
                offsets, starts = (reads.new_empty(batch, heads, chunks, rank, rank) for _ in range(2))
                map_rows = max(1, min(options["RP"], 1024 // options["RP"] ** 2))
                blocks = triton.cdiv(rank, map_rows)
                _maps_kernel[(*grid, blocks)](
                    *inputs[1:], some_mask, maps, offsets, *_flat(strides[1:]), *size, RB=map_rows, **options
                )
                _walk(state, maps, offsets, starts, chunks, options, map_rows, backward=False)
            rows = min(options["RP"], 32)
            _replay_kernel[(*grid, triton.cdiv(rank, rows))](
                *inputs, some_mask, starts, reads, final, *_flat(strides), *size, RB=rows, **options
            )
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(*inputs, some_mask, maps, starts)
            ctx.size, ctx.options = size, options
        return reads, final

    @staticmethod
    def backward(ctx, d_reads, d_final):
        *inputs, some_mask, maps, starts = ctx.saved_tensors
        batch, heads, tokens, rank = inputs[0].shape
        size, options = ctx.size, ctx.options
        chunks = size[2]
        grid = (batch * heads, chunks)
        strides = [x.stride()[:3] for x in inputs]
        d_reads, ends = d_reads.contiguous(), d_final.contiguous()
        history = torch.empty(batch, heads, tokens, rank, rank, device=d_reads.device)
        grads = [torch.empty_like(d_reads) for _ in inputs]
        d_state = torch.empty_like(ends)
        with on_device_of(d_reads):
            if chunks > 1:
                offsets, ends = torch.empty_like(starts), torch.empty_like(starts)
                rows = min(options["RP"], 32)
                _back_offsets_kernel[(*grid, triton.cdiv(rank, rows))](
                    *(inputs[i] for i in (0, 1, 3, 4)), some_mask, d_reads, offsets,
                    *_flat(strides[i] for i in (0, 1, 3, 4)), *size, RB=rows, **options,
                )  # fmt: skip
                map_rows = max(1, min(options["RP"], 1024 // options["RP"] ** 2))
                _walk(d_final.contiguous(), maps, offsets, ends, chunks, options, map_rows, backward=True)
            _back_replay_kernel[grid](
                *inputs, some_mask, starts, ends, d_reads, history, *grads, d_state, *_flat(strides), *size,
                **options | {"num_warps": 4 if rank > 16 else 1},
            )  # fmt: skip
        return *grads, d_state, None, None


def _walk(first, maps, offsets, places, chunks, options, rows, backward):
    states, rank = first.shape[0] * first.shape[1], options["R"]
    _walk_kernel[(states, triton.cdiv(rank, rows))](
        first, maps, offsets, places, chunks, R=rank, RP=options["RP"], RB=rows, BACKWARD=backward, num_warps=1
    )


def _options(rank):
    return {"R": rank, "RP": triton.next_power_of_2(rank), "num_warps": 1}


def _flat(strides):
    return [number for three in strides for number in three]


def affine_scan_parallel(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    erase: Tensor,
    write: Tensor,
    state: Tensor,
    mask: Tensor | None = None,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Scan on a GPU (or under TRITON_INTERPRET=1); arguments and results as in `affine_scan_naive`, float32.

    Args:
        chunk: tokens a chunk; by default chosen by `chunk_length`.
    """
    if q.shape[2] == 0:
        return torch.zeros_like(q), state
    return _Scan.apply(q, k, v, keep, erase, write, state, mask, chunk)
