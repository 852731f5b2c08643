"""Kernels of the scan's way back; what they are for is told in parallel.py."""

import triton
import triton.language as tl

from .forward import load, token_of


@triton.jit
def back_offsets_kernel(
    q_ptr, k_ptr, keep_ptr, erase_ptr, mask_ptr, d_reads_ptr, offsets_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """What each chunk adds to the gradient on its way back: offsets [B, H, N, R, R]."""
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
        width = R
        if HAS_MASK:
            width = tl.load(mask_ptr + b * T + t).to(tl.int32) * R
        inside, rows_inside = cols < width, rows < width
        q = load(q_ptr, t, q_t, cols, inside)
        k = load(k_ptr, t, k_t, cols, inside)
        keep = load(keep_ptr, t, keep_t, rows, rows_inside, 1.0)
        erase = load(erase_ptr, t, erase_t, rows, rows_inside)
        d_read = load(d_reads_ptr, t, R, rows, rows_inside)
        taken = erase * tl.sum(grad * k[:, None], axis=0)
        grad = keep[None, :] * grad - taken[None, :] * k[:, None] + d_read[None, :] * q[:, None]
    at = (program * N + n) * R * R + rows[None, :] * R + cols[:, None]
    tl.store(offsets_ptr + at, grad, mask=(cols < R)[:, None] & (rows < R)[None, :])


@triton.jit
def back_replay_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, starts_ptr, ends_ptr, d_reads_ptr, history_ptr,
    dq_ptr, dk_ptr, dv_ptr, d_keep_ptr, d_erase_ptr, d_write_ptr, d_state_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t, H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """All gradients of a chunk, from its first state and the gradient behind its end.

    Its states are made again on the way forward and put into history [B, H, T, R, R], then met on the way back.
    """
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
    token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                     mask_ptr, b, start, T, cols, rows, R, HAS_MASK)  # fmt: skip
    for t in range(start, end):
        k, v, keep, erase, write, _ = token
        token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                         mask_ptr, b, tl.minimum(t + 1, end - 1), T, cols, rows, R, HAS_MASK)  # fmt: skip
        tl.store(history_ptr + (program * T + t) * R * R + tile, state, mask=tile_inside)
        change = write * v - erase * tl.sum(state * k[:, None], axis=0)
        state = keep[None, :] * state + change[None, :] * k[:, None]
    tl.debug_barrier()
    token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                     mask_ptr, b, end - 1, T, cols, rows, R, HAS_MASK)  # fmt: skip
    grad = tl.load(ends_ptr + chunk * R * R + tile, mask=tile_inside, other=0.0).to(tl.float32)
    for step in range(end - start):
        t = end - 1 - step
        k, v, keep, erase, write, width = token
        token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                         mask_ptr, b, tl.maximum(t - 1, start), T, cols, rows, R, HAS_MASK)  # fmt: skip
        inside = cols < width
        q = load(q_ptr, t, q_t, cols, inside)
        offset = (program * T + t) * R
        d_read = load(d_reads_ptr, program * T + t, R, rows, inside)
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
