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
def _delta(
    packed_ptr, state_ptr, weight_ptr, row, rows, H,
    R: tl.constexpr, RP: tl.constexpr, STATES: tl.constexpr, D: tl.constexpr,
    NORMALIZE: tl.constexpr, COUPLED: tl.constexpr, UPDATE: tl.constexpr,
):  # fmt: skip
    """The steer of the outputs `rows` [D] of a projection."""
    index = tl.arange(0, RP)
    delta = tl.zeros([D], tl.float32)
    for state in tl.static_range(STATES):
        read = read_and_write(
            packed_ptr, state_ptr, packed_ptr, packed_ptr, row, state, False, False,
            H, R, RP, NORMALIZE, COUPLED, UPDATE,
        )  # fmt: skip
        at = weight_ptr + rows[:, None] * (H * R) + state * R + index[None, :]
        delta += tl.sum(tl.load(at, mask=(index < R)[None, :], other=0.0) * read[None, :], axis=1)
    return delta


@triton.jit
def _norm(x, other, weight_ptr, place, partner, eps, D: tl.constexpr):
    """A normed head and its partner elements, rounded where the models round."""
    dtype = x.dtype
    wide = x.to(tl.float32)
    scale = tl.rsqrt(tl.sum(wide * wide, axis=0) / D + eps)
    weight = tl.load(weight_ptr + place).to(tl.float32)
    other_weight = tl.load(weight_ptr + partner).to(tl.float32)
    x = (weight * (wide * scale).to(dtype).to(tl.float32)).to(dtype)
    other = (other_weight * (other.to(tl.float32) * scale).to(dtype).to(tl.float32)).to(dtype)
    return x, other


@triton.jit
def _turn(x, other, cos_ptr, sin_ptr, place, D: tl.constexpr):
    """A turned head, rounded where the models round."""
    dtype = x.dtype
    cos, sin = tl.load(cos_ptr + place).to(tl.float32), tl.load(sin_ptr + place).to(tl.float32)
    sign = tl.where(place < D // 2, -1.0, 1.0)
    straight = (x.to(tl.float32) * cos).to(dtype).to(tl.float32)
    across = (sign * other.to(tl.float32) * sin).to(dtype).to(tl.float32)
    return (straight + across).to(dtype)


@triton.jit
def _inputs_kernel(
    q_ptr, k_ptr, v_ptr, keys_ptr, values_ptr, places_ptr, cos_ptr, sin_ptr, q_weight_ptr, k_weight_ptr,
    packed_ptr, state_ptr, after_ptr, reads_ptr, write_ptr, weight_ptr, scale_ptr, out_ptr,
    q_b, k_b, v_b, keys_b, keys_h, keys_l, values_b, values_h, values_l, cos_b, sin_b, packed_b, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, TURNS: tl.constexpr, NORMED: tl.constexpr,
    STATES: tl.constexpr, R: tl.constexpr, RP: tl.constexpr, NORMALIZE: tl.constexpr, COUPLED: tl.constexpr,
    UPDATE: tl.constexpr, HAS_WRITE: tl.constexpr, STEERS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """A query head, a key and value head, or a state of one batch row, by the program's number in this order."""
    let_next_begin(OVERLAP)
    wait(OVERLAP)
    row, program = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = tl.arange(0, D)
    partner = (place + D // 2) % D
    cos_ptr += row * cos_b
    sin_ptr += row * sin_b
    packed_ptr += row * packed_b
    if program < HEADS:
        at = q_ptr + row * q_b + program * D
        x, other = tl.load(at + place), tl.load(at + partner)
        if STEERS:
            scale = tl.load(scale_ptr + row)
            delta = _delta(packed_ptr, state_ptr, weight_ptr, row, program * D + place, STATES,
                           R, RP, STATES, D, NORMALIZE, COUPLED, UPDATE)  # fmt: skip
            other_delta = _delta(packed_ptr, state_ptr, weight_ptr, row, program * D + partner, STATES,
                                 R, RP, STATES, D, NORMALIZE, COUPLED, UPDATE)  # fmt: skip
            x = tl.where(scale == 0.0, x, (x.to(tl.float32) + scale * delta).to(x.dtype))
            other = tl.where(scale == 0.0, other, (other.to(tl.float32) + scale * other_delta).to(x.dtype))
        if NORMED:
            x, other = _norm(x, other, q_weight_ptr, place, partner, eps, D)
        if TURNS:
            x = _turn(x, other, cos_ptr, sin_ptr, place, D)
        tl.store(out_ptr + (row * HEADS + program) * D + place, x)
    elif program < HEADS + KV_HEADS:
        head = program - HEADS
        slot = tl.load(places_ptr + row)
        value = tl.load(v_ptr + row * v_b + head * D + place)
        tl.store(values_ptr + row * values_b + head * values_h + slot * values_l + place, value)
        at = k_ptr + row * k_b + head * D
        x, other = tl.load(at + place), tl.load(at + partner)
        if NORMED:
            x, other = _norm(x, other, k_weight_ptr, place, partner, eps, D)
        if TURNS:
            x = _turn(x, other, cos_ptr, sin_ptr, place, D)
        tl.store(keys_ptr + row * keys_b + head * keys_h + slot * keys_l + place, x)
    elif STATES > 0:
        writes = True
        if HAS_WRITE:
            writes = tl.load(write_ptr + row) != 0
        read_and_write(packed_ptr, state_ptr, after_ptr, reads_ptr, row, program - HEADS - KV_HEADS, writes, True,
                       STATES, R, RP, NORMALIZE, COUPLED, UPDATE)  # fmt: skip


def fits_kernel(keys: Tensor, memory: MemoryStep | None) -> bool:
    """Whether the kernel takes these shapes: a head of a power of two, states of a rank that it holds."""
    dim = keys.shape[-1]
    return dim >= 2 and dim & (dim - 1) == 0 and (memory is None or memory.state.shape[-1] <= MAX_RANK)


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
            STEERS=memory is not None and memory.weight is not None, num_warps=1 if rank <= 16 else 4,
            **overlap(q),
        )  # fmt: skip
    return out, reads if memory is not None else None
