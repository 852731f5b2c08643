"""One entry to the steer: the Triton kernel on a GPU, the plain form elsewhere. No gradients in the former."""

from torch import Tensor

from .naive import steer_naive

try:  # CPU builds of torch come without Triton
    from .tiled import MAX_WIDTH, steer_tiled
except ImportError:
    MAX_WIDTH = 0


def steer(output: Tensor, reads: Tensor, weight: Tensor, factor: float = 1.0) -> Tensor:
    """output + factor * (reads @ weightᵀ) in one pass; see `steer_naive`. On a GPU no gradient flows through it."""
    fast = output.is_cuda and reads.shape[-1] <= MAX_WIDTH
    return (steer_tiled if fast else steer_naive)(output, reads, weight, factor)
