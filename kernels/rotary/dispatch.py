"""One entry to rotary positions of a decode step: the Triton kernel on a GPU, the plain form elsewhere."""

from torch import Tensor

from .naive import HeadNorms, rotary_naive

try:  # CPU builds of torch come without Triton
    from .fused import rotary_fused
except ImportError:
    rotary_fused = None


def rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, norms: HeadNorms | None = None) -> tuple[Tensor, Tensor]:
    """Turned queries and keys of one token; see `rotary_naive`."""
    fast = q.is_cuda and rotary_fused is not None and q.shape[-1] & (q.shape[-1] - 1) == 0
    return (rotary_fused if fast else rotary_naive)(q, k, cos, sin, norms)
