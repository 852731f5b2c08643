"""One entry to a memory's pass: the Triton kernel on a GPU, the scan in chunks elsewhere."""

from torch import Tensor

from ..affine_scan import affine_scan
from .naive import check_pass, scan_inputs

try:  # CPU builds of torch come without Triton
    from .fused import MAX_RANK, memory_pass_fused
except ImportError:
    MAX_RANK = 0


def memory_pass(raw: Tensor, state: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Reads and state of a pass, differentiable in `raw` and `state`; see `memory_pass_naive`.

    On a GPU a program walks a state's tokens one by one, which suits many short rows; for one long row,
    `affine_scan` is faster.
    """
    if raw.is_cuda and state.shape[-1] <= MAX_RANK:
        return memory_pass_fused(raw, state, mask)
    check_pass(raw, state, mask)
    reads, final = affine_scan(*scan_inputs(raw, state, mask), state, mask)
    return reads.transpose(1, 2).flatten(2), final
