"""One entry to the single-token step: the Triton kernel on a GPU, few PyTorch calls elsewhere; plain for gradients."""

from torch import Tensor

from ..launch import wants_gradients
from .lean import decode_step_lean
from .naive import decode_step_naive

try:  # CPU builds of torch come without Triton
    from .fused import MAX_RANK, decode_step_fused
except ImportError:
    MAX_RANK = 0


def decode_step(packed: Tensor, state: Tensor, after: Tensor | None = None, **options) -> tuple[Tensor, Tensor]:
    """Reads and new state of a single-token step; see `decode_step_naive` for arguments and meaning."""
    if wants_gradients(packed, state):
        return decode_step_naive(packed, state, after, **options)
    fast = state.is_cuda and state.shape[-1] <= MAX_RANK
    return (decode_step_fused if fast else decode_step_lean)(packed, state, after, **options)
