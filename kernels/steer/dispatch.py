"""One entry to the steer: the Triton kernel on a GPU, the plain form elsewhere. No gradients in the former."""

from torch import Tensor

from .naive import steer_naive

try:  # CPU builds of torch come without Triton
    from .tiled import steer_tiled
except ImportError:
    steer_tiled = None


def steer(output: Tensor, reads: Tensor, weight: Tensor, factor: float = 1.0) -> Tensor:
    """output + factor * (reads @ weightᵀ) in one pass; see `steer_naive`. On a GPU no gradient flows through it."""
    fast = output.is_cuda and steer_tiled is not None
    return (steer_tiled if fast else steer_naive)(output, reads, weight, factor)
