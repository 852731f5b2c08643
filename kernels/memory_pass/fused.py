"""A memory's pass as one launch: squash, normalise, gate, read and write, and one more for its gradient.

In a training step the memory's many small element-wise kernels would cost more than the backbone's products. Written
for many rows of a chat turn to a few hundred tokens: a program walks the tokens of one state of one row. The way back
needs the state before every token, [B, H, T, r, r] in all, which is kept only when gradients are wanted.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..activations import tanh, unit
from ..launch import check_rank, on_device_of, wants_gradients
from .naive import check_pass

MAX_RANK = 64


@triton.jit
def _load_token(raw_ptr, mask_ptr, token, at, W, inside, HAS_MASK: tl.constexpr):
    """tanh(q), tanh(k), v, beta [RP] of a token, and whether it is valid."""
    raw_ptr += token * 4 * W + at
    q = tanh(tl.load(raw_ptr, mask=inside, other=0.0).to(tl.float32))
    k = tanh(tl.load(raw_ptr + W, mask=inside, other=0.0).to(tl.float32))
    v = tl.load(raw_ptr + 2 * W, mask=inside, other=0.0).to(tl.float32)
    beta = tl.sigmoid(tl.load(raw_ptr + 3 * W, mask=inside, other=0.0).to(tl.float32))
    valid = True
    if HAS_MASK:
        valid = tl.load(mask_ptr + token) != 0
    return q, k, v, beta, valid


@triton.jit
def _forward_kernel(
    raw_ptr, mask_ptr, state_ptr, reads_ptr, final_ptr, history_ptr, H, T,
    R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr, KEEP_HISTORY: tl.constexpr,
):  # fmt: skip
    """Reads [B, T, H * R], final states [B, H, R, R], and to be kept the states before every token [B, H, T, R, R]."""
    program = tl.program_id(0).to(tl.int64)
    b, h = program // H, program % H
    W = H * R
    rows = tl.arange(0, RP)
    inside = rows < R
    tile = rows[:, None] * R + rows[None, :]
    tile_inside = inside[:, None] & inside[None, :]
    state = tl.load(state_ptr + program * R * R + tile, mask=tile_inside, other=0.0)
    for t in range(T):
        token = b * T + t
        q, k, v, beta, valid = _load_token(raw_ptr, mask_ptr, token, h * R + rows, W, inside, HAS_MASK)
        q, k = unit(q), unit(k)
        if KEEP_HISTORY:
            tl.store(history_ptr + (program * T + t) * R * R + tile, state, mask=tile_inside)
        read = tl.sum(state * q[None, :], axis=1)
        recalled = tl.sum(state * k[None, :], axis=1)
        new = (1.0 - beta)[:, None] * state + (beta * (v - recalled))[:, None] * k[None, :]
        state = tl.where(valid, new, state)
        tl.store(reads_ptr + token * W + h * R + rows, tl.where(valid, read, 0.0), mask=inside)
    tl.store(final_ptr + program * R * R + tile, state, mask=tile_inside)


@triton.jit
def _through_norm(d, direction, squashed):
    """Gradient of direction = tanh(x) / |tanh(x)| with respect to x."""
    norm = tl.sqrt(tl.sum(squashed * squashed))
    along = tl.where(norm > 1e-6, tl.sum(d * direction), 0.0)
    return (d - direction * along) / tl.maximum(norm, 1e-6) * (1.0 - squashed * squashed)


@triton.jit
def _backward_kernel(
    raw_ptr, mask_ptr, history_ptr, d_reads_ptr, d_final_ptr, d_raw_ptr, d_state_ptr, H, T,
    R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """Gradients of raw [B, T, 4 * H * R] and of the first states [B, H, R, R]."""
    program = tl.program_id(0).to(tl.int64)
    b, h = program // H, program % H
    W = H * R
    rows = tl.arange(0, RP)
    inside = rows < R
    tile = rows[:, None] * R + rows[None, :]
    tile_inside = inside[:, None] & inside[None, :]
    grad = tl.load(d_final_ptr + program * R * R + tile, mask=tile_inside, other=0.0)
    for step in range(T):
        t = T - 1 - step
        token = b * T + t
        tq, tk, v, beta, valid = _load_token(raw_ptr, mask_ptr, token, h * R + rows, W, inside, HAS_MASK)
        before = tl.load(history_ptr + (program * T + t) * R * R + tile, mask=tile_inside, other=0.0)
        d_read = tl.load(d_reads_ptr + token * W + h * R + rows, mask=inside, other=0.0)
        q, k = unit(tq), unit(tk)
        error = v - tl.sum(before * k[None, :], axis=1)
        d_update = tl.sum(grad * k[None, :], axis=1)  # of beta * error, the vector written along k
        d_recalled = -d_update * beta
        d_q = tl.sum(before * d_read[:, None], axis=0)
        d_k = tl.sum(grad * (beta * error)[:, None] + before * d_recalled[:, None], axis=0)
        d_beta = d_update * error - tl.sum(grad * before, axis=1)
        place = token * 4 * W + h * R + rows
        tl.store(d_raw_ptr + place, tl.where(valid, _through_norm(d_q, q, tq), 0.0), mask=inside)
        tl.store(d_raw_ptr + place + W, tl.where(valid, _through_norm(d_k, k, tk), 0.0), mask=inside)
        tl.store(d_raw_ptr + place + 2 * W, tl.where(valid, d_update * beta, 0.0), mask=inside)
        tl.store(d_raw_ptr + place + 3 * W, tl.where(valid, d_beta * beta * (1.0 - beta), 0.0), mask=inside)
        passed = (1.0 - beta)[:, None] * grad + d_recalled[:, None] * k[None, :] + d_read[:, None] * q[None, :]
        grad = tl.where(valid, passed, grad)
    tl.store(d_state_ptr + program * R * R + tile, grad, mask=tile_inside)


def _forward(raw, state, mask, keep_history):
    """Reads, final state, and what the way back needs: tensors and kernel options."""
    batch, heads, rank, _ = state.shape
    length = raw.shape[1]
    raw, state = raw.contiguous(), state.contiguous()
    some_mask = raw if mask is None else mask.contiguous().view(torch.uint8)
    reads = state.new_empty(batch, length, heads * rank)
    final = torch.empty_like(state)
    history = state.new_empty(batch, heads, length, rank, rank) if keep_history else reads
    options = {"R": rank, "RP": triton.next_power_of_2(rank), "HAS_MASK": mask is not None}
    options["num_warps"] = 1 if rank <= 16 else 4 if rank <= 32 else 8
    with on_device_of(raw):
        _forward_kernel[(batch * heads,)](
            raw, some_mask, state, reads, final, history, heads, length, KEEP_HISTORY=keep_history, **options
        )
    return reads, final, (raw, some_mask, history), options


class _MemoryPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, raw, state, mask):
        reads, final, tensors, ctx.options = _forward(raw, state, mask, keep_history=True)
        ctx.save_for_backward(*tensors)
        return reads, final

    @staticmethod
    def backward(ctx, d_reads, d_final):
        raw, some_mask, history = ctx.saved_tensors
        batch, heads, length = history.shape[:3]
        d_raw, d_state = torch.empty_like(raw), torch.empty_like(d_final, memory_format=torch.contiguous_format)
        with on_device_of(raw):
            _backward_kernel[(batch * heads,)](
                raw, some_mask, history, d_reads.contiguous(), d_final.contiguous(), d_raw, d_state, heads, length,
                **ctx.options,
            )  # fmt: skip
        return d_raw, d_state, None


def memory_pass_fused(raw: Tensor, state: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The pass on a GPU (or under TRITON_INTERPRET=1). Arguments as in `memory_pass_naive`."""
    check_pass(raw, state, mask)
    check_rank(state.shape[-1], MAX_RANK)
    if state.dtype != torch.float32:
        raise ValueError(f"state is {state.dtype}; the kernel works in float32, convert it first")
    if wants_gradients(raw, state):
        return _MemoryPass.apply(raw, state, mask)
    return _forward(raw, state, mask, keep_history=False)[:2]
