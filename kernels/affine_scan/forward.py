"""Kernels of the scan's way forward; what they are for is told in parallel.py."""

import triton
import triton.language as tl

# Numbers that differ from prompt to prompt are not worth kernels of their own (training's lengths are few: backward.py
# leaves them to Triton). Strides are worth it: whole vectors are loaded.
VARYING = ["T", "N", "CHUNK"]


@triton.jit
def load(ptr, t, stride, index, inside, other=0.0):
    return tl.load(ptr + t * stride + index, mask=inside, other=other).to(tl.float32)


@triton.jit
def token_of(
    k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t, mask_ptr, b, t, T, cols, rows,
    R: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """k, v, keep, erase, write of a token, of which a masked one has none, and how many numbers it has: R or 0.

    Loops ask for the next token before they work on the one at hand, which hides the time that loads take.
    """
    width = R
    if HAS_MASK:
        width = tl.load(mask_ptr + b * T + t).to(tl.int32) * R
    return (
        load(k_ptr, t, k_t, cols, cols < width),
        load(v_ptr, t, v_t, rows, rows < width),
        load(keep_ptr, t, keep_t, rows, rows < width, 1.0),
        load(erase_ptr, t, erase_t, rows, rows < width),
        load(write_ptr, t, write_t, rows, rows < width),
        width,
    )


@triton.jit(do_not_specialize=VARYING)
def maps_kernel(
    k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, maps_ptr, offsets_ptr,
    k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t, write_b, write_h, write_t,
    H, T, N, CHUNK, R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """Each chunk's map of every state row: products [B, H, N, row, R, R] and offsets [B, H, N, row, R]."""
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
    start, end = n * CHUNK, tl.minimum((n + 1) * CHUNK, T)
    token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                     mask_ptr, b, start, T, cols, rows, R, HAS_MASK)  # fmt: skip
    for t in range(start, end):
        k, v, keep, erase, write, _ = token
        token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                         mask_ptr, b, tl.minimum(t + 1, end - 1), T, cols, rows, R, HAS_MASK)  # fmt: skip
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


@triton.jit(do_not_specialize=["N"])
def walk_kernel(
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
    first = program * N
    chunk = first + N - 1 if BACKWARD else first
    matrix = tl.load(maps_ptr + chunk * R * R * R + map_tile, mask=map_inside, other=0.0)
    offset = tl.load(offsets_ptr + chunk * R * R + tile, mask=tile_inside, other=0.0)
    for step in range(N):
        # The next one is on its way while this one is applied.
        later = tl.minimum(step + 1, N - 1)
        following = first + N - 1 - later if BACKWARD else first + later
        next_matrix = tl.load(maps_ptr + following * R * R * R + map_tile, mask=map_inside, other=0.0)
        next_offset = tl.load(offsets_ptr + following * R * R + tile, mask=tile_inside, other=0.0)
        tl.store(places_ptr + chunk * R * R + tile, place, mask=tile_inside)
        place = tl.sum(place[:, :, None] * matrix, axis=1) + offset
        chunk, matrix, offset = following, next_matrix, next_offset


@triton.jit(do_not_specialize=VARYING)
def replay_kernel(
    q_ptr, k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, mask_ptr, starts_ptr, reads_ptr, final_ptr,
    q_b, q_h, q_t, k_b, k_h, k_t, v_b, v_h, v_t, keep_b, keep_h, keep_t, erase_b, erase_h, erase_t,
    write_b, write_h, write_t, H, T, N, CHUNK,
    R: tl.constexpr, RP: tl.constexpr, RB: tl.constexpr, HAS_MASK: tl.constexpr,
):  # fmt: skip
    """Reads [B, H, T, R] of every chunk from its own start [B, H, N, R, R], and the last chunk's final state."""
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
    start, end = n * CHUNK, tl.minimum((n + 1) * CHUNK, T)
    token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                     mask_ptr, b, start, T, cols, rows, R, HAS_MASK)  # fmt: skip
    q = load(q_ptr, start, q_t, cols, cols < token[5])
    for t in range(start, end):
        k, v, keep, erase, write, _ = token
        query = q
        token = token_of(k_ptr, v_ptr, keep_ptr, erase_ptr, write_ptr, k_t, v_t, keep_t, erase_t, write_t,
                         mask_ptr, b, tl.minimum(t + 1, end - 1), T, cols, rows, R, HAS_MASK)  # fmt: skip
        q = load(q_ptr, tl.minimum(t + 1, end - 1), q_t, cols, cols < token[5])
        tl.store(reads_ptr + t * R + rows, tl.sum(state * query[:, None], axis=0), mask=rows < R)
        change = write * v - erase * tl.sum(state * k[:, None], axis=0)
        state = keep[None, :] * state + change[None, :] * k[:, None]
    if n == N - 1:
        tl.store(final_ptr + program * R * R + tile, state, mask=tile_inside)
