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
from torch import Tensor

from ..launch import check_rank, on_device_of, wants_gradients
from .backward import back_offsets_kernel, back_replay_kernel
from .forward import maps_kernel, replay_kernel, walk_kernel
from .naive import check_scan

MAX_RANK = 64
SHORT = 96  # tokens that one program walks sooner than three launches do
MAX_CHUNKS = 4096  # of all rows and heads: enough to fill a GPU
MAP_NUMBERS = 1 << 24  # in all chunk maps together: 64 MiB


def chunk_length(tokens: int, states: int, rank: int) -> int:
    """Tokens a chunk, for sequences of so many tokens, so many states side by side (batch rows times heads)."""
    if tokens <= SHORT:
        return tokens
    # A step of the walk takes about as long as a token and a half, and each token is passed twice.
    chunks = tokens // triton.next_power_of_2(round((0.5 * tokens) ** 0.5))
    chunks = max(1, min(chunks, MAX_CHUNKS // states, MAP_NUMBERS // (states * rank**3)))
    return -(-tokens // chunks)


def _forward(q, k, v, keep, erase, write, state, mask, chunk):
    """Reads, final state, and what the way back needs: tensors, sizes and kernel options."""
    batch, heads, tokens, rank = q.shape
    inputs = [x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, keep, erase, write)]
    state = state.contiguous()
    some_mask = q if mask is None else mask.contiguous().view(torch.uint8)
    chunk = chunk or chunk_length(tokens, batch * heads, rank)
    chunks = -(-tokens // chunk)
    grid, size = (batch * heads, chunks), (heads, tokens, chunks, chunk)
    options = {"R": rank, "RP": triton.next_power_of_2(rank), "HAS_MASK": mask is not None, "num_warps": 1}
    strides = [x.stride()[:3] for x in inputs]
    reads = torch.empty(batch, heads, tokens, rank, device=q.device)
    final = torch.empty_like(state)
    maps, starts = reads, state
    with on_device_of(q):
        if chunks > 1:
            maps = reads.new_empty(batch, heads, chunks, rank, rank, rank)
            offsets, starts = (reads.new_empty(batch, heads, chunks, rank, rank) for _ in range(2))
            rows = _map_rows(options)
            maps_kernel[(*grid, triton.cdiv(rank, rows["RB"]))](
                *inputs[1:], some_mask, maps, offsets, *_flat(strides[1:]), *size, **options | rows
            )
            _walk(state, maps, offsets, starts, chunks, options, backward=False)
        rows = min(options["RP"], 32)
        replay_kernel[(*grid, triton.cdiv(rank, rows))](
            *inputs, some_mask, starts, reads, final, *_flat(strides), *size, RB=rows, **options
        )
    return reads, final, ([*inputs, some_mask, maps, starts], size, options)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *arguments):
        reads, final, (tensors, ctx.size, ctx.options) = _forward(*arguments)
        ctx.save_for_backward(*tensors)
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
                back_offsets_kernel[(*grid, triton.cdiv(rank, rows))](
                    *(inputs[i] for i in (0, 1, 3, 4)), some_mask, d_reads, offsets,
                    *_flat(strides[i] for i in (0, 1, 3, 4)), *size, RB=rows, **options,
                )  # fmt: skip
                _walk(d_final.contiguous(), maps, offsets, ends, chunks, options, backward=True)
            back_replay_kernel[grid](
                *inputs, some_mask, starts, ends, d_reads, history, *grads, d_state, *_flat(strides), *size,
                **options | {"num_warps": 4 if rank > 16 else 1},
            )  # fmt: skip
        return *grads, d_state, None, None


def _walk(first, maps, offsets, places, chunks, options, backward):
    states, rank, rows = first.shape[0] * first.shape[1], options["R"], _map_rows(options)
    walk_kernel[(states, triton.cdiv(rank, rows["RB"]))](
        first, maps, offsets, places, chunks, R=rank, RP=options["RP"], BACKWARD=backward, **rows
    )


def _map_rows(options):
    """How many state rows a program takes whose numbers are a matrix for each row, and the warps for it."""
    side = options["RP"]
    return {"RB": max(1, min(side, 1024 // side**2)), "num_warps": 2 if side > 32 else 1}


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

    Raises:
        ValueError: shapes that do not fit, a rank above `MAX_RANK`, other dtypes than float32.
    """
    check_scan(q, k, v, keep, erase, write, state, mask)
    check_rank(q.shape[-1], MAX_RANK)
    arguments = q, k, v, keep, erase, write, state, mask, chunk
    for x in arguments[:7]:
        if x.dtype != torch.float32:
            raise ValueError(f"an argument is {x.dtype}; the kernels take float32, convert it or use backend 'chunked'")
    if q.shape[2] == 0:
        return torch.zeros_like(q), state
    if wants_gradients(*arguments[:7]):
        return _Scan.apply(*arguments)
    return _forward(*arguments)[:2]
