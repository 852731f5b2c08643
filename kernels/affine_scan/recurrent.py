"""Token-serial Triton scan: one program per (batch row, state head), the state in registers.

Best for short sequences (a chat turn, a training pass): one launch forward, one backward, deterministic.
Same contract as `affine_scan_naive`.
"""

from contextlib import nullcontext

import torch
import triton
import triton.language as tl


@triton.jit
def _load(ptr, base, stride_t, t, cols, inside):
    return tl.load(ptr + base + t * stride_t + cols, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _forward_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, state_ptr, mask_ptr,
    reads_ptr, final_ptr, history_ptr,
    H, T,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t,
    R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr, KEEP_HISTORY: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    b, h = program // H, program % H
    rows, cols = tl.arange(0, RP), tl.arange(0, RP)
    inside = cols < R
    tile = rows[:, None] * R + cols[None, :]
    tile_inside = (rows[:, None] < R) & (cols[None, :] < R)
    state = tl.load(state_ptr + program * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for t in range(T):
        q = _load(q_ptr, b * q_b + h * q_h, q_t, t, cols, inside)
        k = _load(k_ptr, b * k_b + h * k_h, k_t, t, cols, inside)
        v = _load(v_ptr, b * v_b + h * v_h, v_t, t, cols, inside)
        keep = _load(keep_ptr, b * keep_b + h * keep_h, keep_t, t, cols, inside)
        erase = _load(erase_ptr, b * erase_b + h * erase_h, erase_t, t, cols, inside)
        write = _load(write_ptr, b * write_b + h * write_h, write_t, t, cols, inside)
        if KEEP_HISTORY:
            tl.store(history_ptr + (program * T + t) * R * R + tile, state, mask=tile_inside)
        read = tl.sum(state * q[None, :], axis=1)
        recalled = tl.sum(state * k[None, :], axis=1)
        new = keep[:, None] * state + (write * v - erase * recalled)[:, None] * k[None, :]
        if HAS_MASK:
            valid = tl.load(mask_ptr + b * T + t) != 0
            read = tl.where(valid, read, 0.0)
            new = tl.where(valid, new, state)
        state = new
        tl.store(reads_ptr + (program * T + t) * R + rows, read, mask=rows < R)
    tl.store(final_ptr + program * R * R + tile, state, mask=tile_inside)


@triton.jit
def _backward_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, history_ptr,
    d_reads_ptr, d_final_ptr,
    dq_ptr, dk_ptr, dv_ptr, d_keep_ptr, d_erase_ptr, d_write_ptr, d_state_ptr,
    H, T,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t,
    R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    b, h = program // H, program % H
    rows, cols = tl.arange(0, RP), tl.arange(0, RP)
    inside = cols < R
    tile = rows[:, None] * R + cols[None, :]
    tile_inside = (rows[:, None] < R) & (cols[None, :] < R)
    grad = tl.load(d_final_ptr + program * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for step in range(T):
        t = T - 1 - step
        q = _load(q_ptr, b * q_b + h * q_h, q_t, t, cols, inside)
        k = _load(k_ptr, b * k_b + h * k_h, k_t, t, cols, inside)
        v = _load(v_ptr, b * v_b + h * v_h, v_t, t, cols, inside)
        keep = _load(keep_ptr, b * keep_b + h * keep_h, keep_t, t, cols, inside)
        erase = _load(erase_ptr, b * erase_b + h * erase_h, erase_t, t, cols, inside)
        write = _load(write_ptr, b * write_b + h * write_h, write_t, t, cols, inside)
        offset = (program * T + t) * R
        d_read = tl.load(d_reads_ptr + offset + rows, mask=rows < R, other=0.0).to(tl.float32)
        before = tl.load(history_ptr + offset * R + tile, mask=tile_inside, other=0.0)
        valid = True
        if HAS_MASK:
            valid = tl.load(mask_ptr + b * T + t) != 0
            d_read = tl.where(valid, d_read, 0.0)
        # grad is dL/dS_t; an invalid token passed S through untouched, so its own terms vanish.
        local = grad
        if HAS_MASK:
            local = tl.where(valid, grad, 0.0)
        recalled = tl.sum(before * k[None, :], axis=1)
        d_update = tl.sum(local * k[None, :], axis=1)
        d_recalled = -d_update * erase
        update = write * v - erase * recalled
        dk = tl.sum(local * update[:, None] + before * d_recalled[:, None], axis=0)
        dq = tl.sum(before * d_read[:, None], axis=0)
        tl.store(dq_ptr + offset + cols, dq, mask=inside)
        tl.store(dk_ptr + offset + cols, dk, mask=inside)
        tl.store(dv_ptr + offset + rows, d_update * write, mask=rows < R)
        tl.store(d_keep_ptr + offset + rows, tl.sum(local * before, axis=1), mask=rows < R)
        tl.store(d_erase_ptr + offset + rows, -d_update * recalled, mask=rows < R)
        tl.store(d_write_ptr + offset + rows, d_update * v, mask=rows < R)
        passed = keep[:, None] * grad
        if HAS_MASK:
            passed = tl.where(valid, passed, grad)
        grad = passed + d_recalled[:, None] * k[None, :] + d_read[:, None] * q[None, :]
    tl.store(d_state_ptr + program * R * R + tile, grad, mask=tile_inside)


def _launch_options(inputs):
    strides = [stride for x in inputs for stride in x.stride()[:3]]
    rank = inputs[0].shape[-1]
    return strides, {"R": rank, "RP": triton.next_power_of_2(rank), "num_warps": 1}


def _device_of(x):
    """Triton launches on the current GPU, which need not be the one that holds the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, keep, erase, write, state, mask):
        batch, heads, length, rank = q.shape
        inputs = [x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, keep, erase, write)]
        state = state.contiguous()
        reads = torch.empty(batch, heads, length, rank, device=q.device, dtype=torch.float32)
        final = torch.empty_like(state, dtype=torch.float32)
        needs_history = any(ctx.needs_input_grad)
        history = reads.new_empty((batch, heads, length, rank, rank) if needs_history else (0,))
        mask = None if mask is None else mask.contiguous().to(torch.uint8)
        strides, options = _launch_options(inputs)
        with _device_of(q):
            _forward_kernel[(batch * heads,)](
                *inputs, state, mask if mask is not None else reads, reads, final, history, heads, length, *strides,
                HAS_MASK=mask is not None, KEEP_HISTORY=needs_history, **options,
            )  # fmt: skip
        ctx.save_for_backward(*inputs, history, *([] if mask is None else [mask]))
        return reads, final

    @staticmethod
    def backward(ctx, d_reads, d_final):
        *inputs, history = ctx.saved_tensors[:7]
        mask = ctx.saved_tensors[7] if len(ctx.saved_tensors) > 7 else None
        batch, heads, length, rank = inputs[0].shape
        grads = [torch.empty(batch, heads, length, rank, device=history.device) for _ in range(6)]
        d_state = torch.empty(batch, heads, rank, rank, device=history.device)
        strides, options = _launch_options(inputs)
        with _device_of(history):
            _backward_kernel[(batch * heads,)](
                *inputs, mask if mask is not None else history, history, d_reads.contiguous(), d_final.contiguous(),
                *grads, d_state, heads, length, *strides, HAS_MASK=mask is not None, **options,
            )  # fmt: skip
        return *grads, d_state, None


def affine_scan_recurrent(q, k, v, keep, erase, write, state, mask=None):
    """Scan on a GPU (or under TRITON_INTERPRET=1). Shapes and meaning as in `affine_scan_naive`."""
    return _Scan.apply(q, k, v, keep, erase, write, state, mask)
