"""One entry to the steer: the Triton kernel on a GPU, the plain form elsewhere and for gradients."""

from torch import Tensor

from ..launch import wants_gradients
from .naive import steer_naive

try:  # CPU builds of torch come without Triton
    from .tiled import steer_tiled
except ImportError:
    steer_tiled = None


def steer(output: Tensor, reads: Tensor, weight: Tensor, factor: float = 1.0) -> Tensor:
    """output + factor * (reads @ weightᵀ); see `steer_naive`."""
    fast = output.is_cuda and steer_tiled is not None and not wants_gradients(output, reads, weight)
    return (steer_tiled if fast else steer_naive)(output, reads, weight, factor)
