"""One entry to the scan, whichever form runs it."""

from collections.abc import Callable

import torch
from torch import Tensor

from .chunked import affine_scan_chunked, mask_tokens
from .naive import affine_scan_naive, check_scan

BACKENDS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "naive": affine_scan_naive,
    "chunked": affine_scan_chunked,
}
try:  # CPU builds of torch come without Triton
    from .parallel import MAX_RANK, affine_scan_parallel
except ImportError:
    MAX_RANK = 0
else:
    BACKENDS["parallel"] = affine_scan_parallel


def affine_scan(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    erase: Tensor,
    write: Tensor,
    state: Tensor,
    mask: Tensor | None = None,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Reads and final state of the memory over a sequence; see `affine_scan_naive` for shapes and meaning.

    Args:
        backend: "auto", or one of `BACKENDS`. "auto" takes the kernels on a GPU (float32, up to rank 64; one launch
            for a short sequence), else the direct step for a single token and the chunked form for more.

    Raises:
        ValueError: an unknown or unavailable backend, shapes that do not fit.
    """
    if backend == "auto":
        if q.is_cuda and q.dtype == torch.float32 and q.shape[-1] <= MAX_RANK:
            backend = "parallel"
        elif q.shape[2] == 1:
            return affine_step(q, k, v, keep, erase, write, state, mask)
        else:
            backend = "chunked"
    if backend not in BACKENDS:
        raise ValueError(f"affine_scan backend {backend!r} is not available here; choose one of {['auto', *BACKENDS]}")
    return BACKENDS[backend](q, k, v, keep, erase, write, state, mask)


def affine_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keep: Tensor,
    erase: Tensor,
    write: Tensor,
    state: Tensor,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One token (T = 1), in as few operations as possible."""
    check_scan(q, k, v, keep, erase, write, state, mask)
    if mask is not None:
        q, k, v, keep, erase, write = mask_tokens(q, k, v, keep, erase, write, mask)
    both = torch.cat((q, k), dim=2) @ state.transpose(-1, -2)  # [B, H, 2, r]: what q reads and what k recalls
    change = write * v - erase * both[:, :, 1:]
    return both[:, :, :1], torch.addcmul(keep.transpose(-1, -2) * state, change.transpose(-1, -2), k)
