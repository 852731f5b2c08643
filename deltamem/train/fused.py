"""One kernel for a layer's memory over a training pass: squash, normalise, gate, read and write, and its gradient.

In a training step the memory's many small element-wise kernels would cost more than the backbone's products. Written
for passes of a chat turn to a few hundred tokens: token-serial, one program per (row, state head).
"""

from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _forward_kernel(
    raw_ptr, valid_ptr, state_ptr, reads_ptr, final_ptr, history_ptr, H, T,
    R: tl.constexpr, RP: tl.constexpr, KEEP_HISTORY: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    b, h = program // H, program % H
    W = H * R
    rows = tl.arange(0, RP)
    inside = rows < R
    tile = rows[:, None] * R + rows[None, :]
    tile_inside = inside[:, None] & inside[None, :]
    state = tl.load(state_ptr + program * R * R + tile, mask=tile_inside, other=0.0)
    for t in range(T):
        at = raw_ptr + (b * T + t) * 4 * W + h * R + rows
        tq = _tanh(tl.load(at, mask=inside, other=0.0).to(tl.float32))
        tk = _tanh(tl.load(at + W, mask=inside, other=0.0).to(tl.float32))
        v = tl.load(at + 2 * W, mask=inside, other=0.0).to(tl.float32)
        beta = tl.sigmoid(tl.load(at + 3 * W, mask=inside, other=0.0).to(tl.float32))
        valid = tl.load(valid_ptr + b * T + t) != 0
        q = tq / tl.maximum(tl.sqrt(tl.sum(tq * tq)), 1e-6)
        k = tk / tl.maximum(tl.sqrt(tl.sum(tk * tk)), 1e-6)
        if KEEP_HISTORY:
            tl.store(history_ptr + (program * T + t) * R * R + tile, state, mask=tile_inside)
        read = tl.sum(state * q[None, :], axis=1)
        recalled = tl.sum(state * k[None, :], axis=1)
        new = (1.0 - beta)[:, None] * state + (beta * (v - recalled))[:, None] * k[None, :]
        state = tl.where(valid, new, state)
        tl.store(reads_ptr + (b * T + t) * W + h * R + rows, tl.where(valid, read, 0.0), mask=inside)
    tl.store(final_ptr + program * R * R + tile, state, mask=tile_inside)


@triton.jit
def _through_norm(d, unit, squashed):
    """Gradient of unit = tanh(x) / |tanh(x)| with respect to x."""
    norm = tl.sqrt(tl.sum(squashed * squashed))
    along = tl.where(norm > 1e-6, tl.sum(d * unit), 0.0)
    return (d - unit * along) / tl.maximum(norm, 1e-6) * (1.0 - squashed * squashed)


@triton.jit
def _backward_kernel(
    raw_ptr, valid_ptr, history_ptr, d_reads_ptr, d_final_ptr, d_raw_ptr, d_state_ptr, H, T,
    R: tl.constexpr, RP: tl.constexpr,
):  # fmt: skip
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
        place = (b * T + t) * 4 * W + h * R + rows
        tq = _tanh(tl.load(raw_ptr + place, mask=inside, other=0.0).to(tl.float32))
        tk = _tanh(tl.load(raw_ptr + place + W, mask=inside, other=0.0).to(tl.float32))
        v = tl.load(raw_ptr + place + 2 * W, mask=inside, other=0.0).to(tl.float32)
        beta = tl.sigmoid(tl.load(raw_ptr + place + 3 * W, mask=inside, other=0.0).to(tl.float32))
        valid = tl.load(valid_ptr + b * T + t) != 0
        before = tl.load(history_ptr + (program * T + t) * R * R + tile, mask=tile_inside, other=0.0)
        d_read = tl.load(d_reads_ptr + (b * T + t) * W + h * R + rows, mask=inside, other=0.0)
        q = tq / tl.maximum(tl.sqrt(tl.sum(tq * tq)), 1e-6)
        k = tk / tl.maximum(tl.sqrt(tl.sum(tk * tk)), 1e-6)
        error = v - tl.sum(before * k[None, :], axis=1)
        d_update = tl.sum(grad * k[None, :], axis=1)  # of beta * error, the vector written along k
        d_recalled = -d_update * beta
        d_q = tl.sum(before * d_read[:, None], axis=0)
        d_k = tl.sum(grad * (beta * error)[:, None] + before * d_recalled[:, None], axis=0)
        d_beta = d_update * error - tl.sum(grad * before, axis=1)
        tl.store(d_raw_ptr + place, tl.where(valid, _through_norm(d_q, q, tq), 0.0), mask=inside)
        tl.store(d_raw_ptr + place + W, tl.where(valid, _through_norm(d_k, k, tk), 0.0), mask=inside)
        tl.store(d_raw_ptr + place + 2 * W, tl.where(valid, d_update * beta, 0.0), mask=inside)
        tl.store(d_raw_ptr + place + 3 * W, tl.where(valid, d_beta * beta * (1.0 - beta), 0.0), mask=inside)
        passed = (1.0 - beta)[:, None] * grad + d_recalled[:, None] * k[None, :] + d_read[:, None] * q[None, :]
        grad = tl.where(valid, passed, grad)
    tl.store(d_state_ptr + program * R * R + tile, grad, mask=tile_inside)


def _device_of(x: Tensor):
    """Triton launches on the current GPU, which need not be the one that holds the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


class _MemoryPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, raw, valid, state):
        batch, heads, rank, _ = state.shape
        length = raw.shape[1]
        reads = state.new_empty(batch, length, heads * rank)
        final = torch.empty_like(state)
        keep = any(ctx.needs_input_grad)
        history = state.new_empty((batch, heads, length, rank, rank) if keep else (0,))
        options = {"R": rank, "RP": triton.next_power_of_2(rank), "num_warps": 1}
        with _device_of(raw):
            _forward_kernel[(batch * heads,)](
                raw, valid, state, reads, final, history, heads, length, KEEP_HISTORY=keep, **options
            )
        ctx.save_for_backward(raw, valid, history)
        ctx.heads, ctx.options = heads, options
        return reads, final

    @staticmethod
    def backward(ctx, d_reads, d_final):
        raw, valid, history = ctx.saved_tensors
        batch, length = raw.shape[:2]
        d_raw, d_state = torch.empty_like(raw), torch.empty_like(d_final)
        with _device_of(raw):
            _backward_kernel[(batch * ctx.heads,)](
                raw, valid, history, d_reads.contiguous(), d_final.contiguous(), d_raw, d_state, ctx.heads, length,
                **ctx.options,
            )  # fmt: skip
        return d_raw, None, d_state


def memory_pass(raw: Tensor, valid: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Reads [B, T, H * r] and the state after the pass [B, H, r, r].

    Args:
        raw: [B, T, 4 * H * r] of any float type, the projections q, k, v and write gate before tanh, norm and sigmoid.
        valid: [B, T] uint8 or bool; other tokens read 0 and do not write.
        state: [B, H, r, r] float32.
    """
    return _MemoryPass.apply(raw.contiguous(), valid.contiguous().to(torch.uint8), state.contiguous())
