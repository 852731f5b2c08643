"""The same as one launch: a program for each query head, each key and value head, and each state.

Programs of query heads read the state for themselves, which is cheaper than waiting for one that does; a program of a
state writes its successor and the reads.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..decode_step.fused import MAX_RANK, read_and_write
from ..decode_step.naive import UPDATES
from ..launch import on_device_of
from ..overlap import let_next_begin, overlap, wait
from .heads import HeadNorms
from .naive import MemoryStep, check_inputs


@triton.jit
def _steered(
    x, lows, packed_ptr, state_ptr, scale_ptr, row, H: tl.constexpr, R: tl.constexpr, RP: tl.constexpr,
    NORMALIZE: tl.constexpr, COUPLED: tl.constexpr, UPDATE: tl.constexpr,
):  # fmt: skip
    """Both halves x of a head, steered by all states; lows: the weights [D / 2, RP] of both halves, state by state."""
    first, second = tl.zeros_like(x[0]).to(tl.float32), tl.zeros_like(x[1]).to(tl.float32)
    for state in tl.static_range(H):
        read = read_and_write(
            packed_ptr, state_ptr, packed_ptr, packed_ptr, row, state, False, False,
            H, R, RP, NORMALIZE, COUPLED, UPDATE,
        )  # fmt: skip
        first += tl.sum(lows[2 * state] * read[None, :], axis=1)
        second += tl.sum(lows[2 * state + 1] * read[None, :], axis=1)
    scale = tl.load(scale_ptr + row)
    first = tl.where(scale == 0.0, x[0], (x[0].to(tl.float32) + scale * first).to(x[0].dtype))
    second = tl.where(scale == 0.0, x[1], (x[1].to(tl.float32) + scale * second).to(x[1].dtype))
    return first, second


@triton.jit
def _normed(x, weights, eps, D: tl.constexpr):
    """Both halves x of a head, normed and rounded where the models round."""
    dtype = x[0].dtype
    first, second = x[0].to(tl.float32), x[1].to(tl.float32)
    scale = tl.rsqrt((tl.sum(first * first, axis=0) + tl.sum(second * second, axis=0)) / D + eps)
    first = weights[0].to(tl.float32) * (first * scale).to(dtype).to(tl.float32)
    second = weights[1].to(tl.float32) * (second * scale).to(dtype).to(tl.float32)
    return first.to(dtype), second.to(dtype)


@triton.jit
def _turned(x, cos_ptr, sin_ptr, place, D: tl.constexpr):
    """Both halves x of a head, turned and rounded where the models round."""
    return (
        _turned_half(x[0], -x[1].to(tl.float32), cos_ptr + place, sin_ptr + place),
        _turned_half(x[1], x[0].to(tl.float32), cos_ptr + D // 2 + place, sin_ptr + D // 2 + place),
    )


@triton.jit
def _turned_half(x, across, cos_at, sin_at):
    straight = (x.to(tl.float32) * tl.load(cos_at).to(tl.float32)).to(x.dtype).to(tl.float32)
    across = (across * tl.load(sin_at).to(tl.float32)).to(x.dtype).to(tl.float32)
    return (straight + across).to(x.dtype)


@triton.jit
def _inputs_kernel(
    q_ptr, k_ptr, v_ptr, keys_ptr, values_ptr, places_ptr, cos_ptr, sin_ptr, q_weight_ptr, k_weight_ptr,
    packed_ptr, state_ptr, after_ptr, reads_ptr, write_ptr, weight_ptr, scale_ptr, out_ptr,
    q_b, k_b, v_b, keys_b, keys_h, keys_l, values_b, values_h, values_l, cos_b, sin_b, packed_b, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, TURNS: tl.constexpr, NORMED: tl.constexpr,
    STATES: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, NORMALIZE: tl.constexpr, COUPLED: tl.constexpr,
    UPDATE: tl.constexpr, HAS_WRITE: tl.constexpr, STEERS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """A query head, a key and value head, or a state of one batch row, by the program's number in this order.

    Heads are worked on in two halves, which rotary positions turn against each other.
    """
    let_next_begin(OVERLAP)
    row, program = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = tl.arange(0, D // 2)
    cos_ptr += row * cos_b
    sin_ptr += row * sin_b
    packed_ptr += row * packed_b
    if program < HEADS:
        # Weights may be asked for before the projections are done.
        lows, norms = (), ()
        if STEERS:
            index = tl.arange(0, RP)
            at = weight_ptr + (program * D + place)[:, None] * (STATES * R) + index[None, :]
            for state in tl.static_range(STATES):
                for half in tl.static_range(2):
                    shift = half * (D // 2) * STATES * R + state * R
                    lows = lows + (tl.load(at + shift, mask=(index < R)[None, :], other=0.0),)
        if NORMED:
            norms = tl.load(q_weight_ptr + place), tl.load(q_weight_ptr + D // 2 + place)
        wait(OVERLAP)
        at = q_ptr + row * q_b + program * D + place
        x = tl.load(at), tl.load(at + D // 2)
        if STEERS:
            x = _steered(x, lows, packed_ptr, state_ptr, scale_ptr, row, STATES, R, RP, NORMALIZE, COUPLED, UPDATE)
        if NORMED:
            x = _normed(x, norms, eps, D)
        if TURNS:
            x = _turned(x, cos_ptr, sin_ptr, place, D)
        at = out_ptr + (row * HEADS + program) * D + place
        tl.store(at, x[0])
        tl.store(at + D // 2, x[1])
    elif program < HEADS + KV_HEADS:
        head = program - HEADS
        norms = ()
        if NORMED:
            norms = tl.load(k_weight_ptr + place), tl.load(k_weight_ptr + D // 2 + place)
        wait(OVERLAP)
        slot = tl.load(places_ptr + row)
        at = values_ptr + row * values_b + head * values_h + slot * values_l + place
        value = v_ptr + row * v_b + head * D + place
        tl.store(at, tl.load(value))
        tl.store(at + D // 2, tl.load(value + D // 2))
        at = k_ptr + row * k_b + head * D + place
        x = tl.load(at), tl.load(at + D // 2)
        if NORMED:
            x = _normed(x, norms, eps, D)
        if TURNS:
            x = _turned(x, cos_ptr, sin_ptr, place, D)
        at = keys_ptr + row * keys_b + head * keys_h + slot * keys_l + place
        tl.store(at, x[0])
        tl.store(at + D // 2, x[1])
    elif STATES > 0:
        wait(OVERLAP)
        writes = True
        if HAS_WRITE:
            writes = tl.load(write_ptr + row) != 0
        read_and_write(packed_ptr, state_ptr, after_ptr, reads_ptr, row, program - HEADS - KV_HEADS, writes, True,
                       STATES, R, RP, NORMALIZE, COUPLED, UPDATE)  # fmt: skip


def fits_kernel(keys: Tensor, memory: MemoryStep | None) -> bool:
    """Whether the kernel takes these shapes: a head of a power of two, states of a rank that it holds."""
    dim = keys.shape[-1]
    return dim >= 2 and dim & (dim - 1) == 0 and (memory is None or memory.state.shape[-1] <= MAX_RANK)


def _warps(weights: int) -> int:
    """Enough that a thread holds at most 64 of a head's steering weights."""
    return min(8, max(1, triton.next_power_of_2(weights) // 2048))


def attention_inputs_fused(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    places: Tensor,
    turn: tuple[Tensor, Tensor] | None = None,
    norms: HeadNorms | None = None,
    memory: MemoryStep | None = None,
) -> tuple[Tensor, Tensor | None]:
    """On a GPU (or under TRITON_INTERPRET=1). Arguments as in `attention_inputs_naive`."""
    check_inputs(q, k, v, keys, values, places, memory)
    batch, kv_heads, _, dim = keys.shape
    heads = q.shape[1] // dim
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    out = torch.empty(batch, heads, dim, dtype=q.dtype, device=q.device)
    cos, sin = (q, q) if turn is None else (x if x.stride(-1) == 1 else x.contiguous() for x in turn)
    q_weight, k_weight = (q, q) if norms is None else (norms.q, norms.k)
    packed = state = after = reads = write = weight = scale = out
    states, rank, parts = 0, 1, 4
    if memory is not None:
        packed, state, after = memory.packed, memory.state, memory.after
        states, rank = state.shape[1:3]
        parts = packed.shape[1] // (states * rank)
        reads = torch.empty(batch, states * rank, dtype=torch.float32, device=q.device)
        if memory.write is not None:
            write = memory.write.view(torch.uint8) if memory.write.dtype == torch.bool else memory.write
        if memory.weight is not None:
            weight, scale = memory.weight, memory.scale
    with on_device_of(q):
        _inputs_kernel[(batch, heads + kv_heads + states)](
            q, k, v, keys, values, places, cos, sin, q_weight, k_weight,
            packed, state, after, reads, write, weight, scale, out,
            q.stride(0), k.stride(0), v.stride(0), *keys.stride()[:3], *values.stride()[:3],
            cos.stride(0), sin.stride(0), packed.stride(0), 0.0 if norms is None else norms.eps,
            HEADS=heads, KV_HEADS=kv_heads, D=dim, TURNS=turn is not None, NORMED=norms is not None,
            STATES=states, R=rank, RP=triton.next_power_of_2(rank),
            NORMALIZE=memory is not None and memory.normalize_qk, COUPLED=parts == 4,
            UPDATE=UPDATES.index("standard" if memory is None else memory.update),
            HAS_WRITE=memory is not None and memory.write is not None,
            STEERS=memory is not None and memory.weight is not None,
            num_warps=_warps(dim * states * rank), **overlap(q),
        )  # fmt: skip
    return out, reads if memory is not None else None
