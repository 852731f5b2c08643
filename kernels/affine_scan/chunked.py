"""The scan in chunks: everything inside a chunk is matrix products, only chunk borders are walked one by one.

One state row s (a row vector of length r) follows

    s_t = keep_t s_{t-1} + w_t k_t        w_t = write_t v_t - erase_t (s_{t-1} · k_t)

Written out from the chunk's first state s_0, with D[t, j] = keep_{j+1} ... keep_{t-1} and g_t = keep_1 ... keep_{t-1},

    s_{t-1} = g_t s_0 + sum_{j<t} D[t, j] w_j k_j

so the w of a chunk solve the unit lower-triangular system

    w_t + erase_t sum_{j<t} D[t, j] (k_j · k_t) w_j = write_t v_t - erase_t g_t (s_0 · k_t).

Its solution is affine in s_0. Solving for the constant part and for the part that multiplies s_0 gives each chunk's
map s_0 -> s_0 M + c without knowing s_0; a short loop applies the maps; then all chunks are replayed at once.

The products of keep are sums of logs over exactly the tokens in question: differences of one running sum would lose
digits after a token whose keep is 0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .naive import check_scan

# Added to keep before the log: keep = 0 becomes a factor of 1e-13, below float32's resolution, and its gradient stays
# right because the factor cancels in exp(log) / keep.
TINY = 1e-13


def affine_scan_chunked(
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
    """Same arguments and results as `affine_scan_naive`; differentiable in every tensor argument.

    Args:
        chunk: tokens a chunk; by default 16 on CPU, where work counts, and 64 on a GPU, where the loop's launches do.
    """
    check_scan(q, k, v, keep, erase, write, state, mask)
    B, H, T, r = q.shape
    if T == 0:
        return torch.zeros_like(q), state
    if mask is not None:
        q, k, v, keep, erase, write = mask_tokens(q, k, v, keep, erase, write, mask)
    chunk = min(chunk or (64 if q.is_cuda else 16), T)
    N = -(-T // chunk)
    q, k, v, erase, write = (_split(x, N, chunk, 0.0) for x in (q, k, v, erase, write))  # [B, H, N, C, r]
    keep = _split(keep, N, chunk, 1.0)

    log_keep = torch.log(keep + TINY).transpose(-1, -2)  # [B, H, N, r, C]
    decay = _decay(log_keep)  # [B, H, N, r, C + 1, C]: row t is D[t, :], the last row reaches the chunk's end
    running = F.pad(log_keep.cumsum(-1), (1, 0)).exp()  # [B, H, N, r, C + 1]: g_1 ... g_C, then the whole product
    start, whole = running[..., :-1], running[..., -1]

    rows_erase, rows_target = erase.transpose(-1, -2), (write * v).transpose(-1, -2)  # [B, H, N, r, C]
    system = rows_erase[..., None] * decay[..., :-1, :] * (k @ k.transpose(-1, -2))[:, :, :, None]
    through = -(rows_erase * start)[..., None] * k[:, :, :, None]  # [B, H, N, r, C, r]
    right = torch.cat((rows_target[..., None], through), dim=-1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    constant, linear = solved[..., 0], solved[..., 1:]  # w = constant + linear · s_0

    reach = decay[..., -1, :, None] * k[:, :, :, None]  # [B, H, N, r, C, r]: what w_j adds to the last state
    offset = (constant[..., None, :] @ reach).squeeze(-2)  # c
    identity = torch.eye(r, dtype=q.dtype, device=q.device)
    chunk_map = linear.transpose(-1, -2) @ reach + whole[..., None, None] * identity  # M

    starts = []
    for n in range(N):
        starts.append(state)
        state = (state[..., None, :] @ chunk_map[:, :, n]).squeeze(-2) + offset[:, :, n]
    first = torch.stack(starts, dim=2)  # [B, H, N, r, r]

    w = constant + (linear @ first[..., None]).squeeze(-1)  # [B, H, N, r, C]
    inside = decay[..., :-1, :] * (q @ k.transpose(-1, -2))[:, :, :, None]
    reads = (inside @ w[..., None]).squeeze(-1) + start * (first @ q.transpose(-1, -2))
    reads = reads.transpose(-1, -2).reshape(B, H, N * chunk, r)[:, :, :T]
    return reads, state


def mask_tokens(
    q: Tensor, k: Tensor, v: Tensor, keep: Tensor, erase: Tensor, write: Tensor, mask: Tensor
) -> tuple[Tensor, ...]:
    """The six inputs with masked tokens made neutral: they read 0 and leave the state alone, whatever they held."""
    valid = mask[:, None, :, None]
    return (
        *(torch.where(valid, x, 0.0) for x in (q, k, v)),
        torch.where(valid, keep, 1.0),
        *(torch.where(valid, x, 0.0) for x in (erase, write)),
    )


def _split(x: Tensor, chunks: int, chunk: int, fill: float) -> Tensor:
    B, H, T, r = x.shape
    padded = F.pad(x, (0, 0, 0, chunks * chunk - T), value=fill)
    return padded.reshape(B, H, chunks, chunk, r)


def _decay(log_keep: Tensor) -> Tensor:
    """exp of the sum of log_keep over tokens j+1 .. t-1 at [t, j] for j < t, else 0; t runs to C + 1."""
    C = log_keep.shape[-1]
    ones = torch.ones(C + 1, C, dtype=torch.bool, device=log_keep.device)
    # The entry [t, j] of the matrix to be summed along t is log_keep_{t-1} where t - 1 > j.
    shifted = F.pad(log_keep, (1, 0))[..., None].expand(*log_keep.shape[:-1], C + 1, C)
    sums = shifted.masked_fill(~ones.tril(-2), 0.0).cumsum(-2)
    return sums.exp().masked_fill(~ones.tril(-1), 0.0)
