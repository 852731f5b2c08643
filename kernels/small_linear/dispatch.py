"""One entry to the small linear maps: Triton kernels on a GPU, shared among cores on a CPU, else the plain forms."""

from collections.abc import Sequence

from torch import Tensor

from ..launch import wants_gradients
from .naive import LowRank, small_gated_linear_naive, small_linear_naive
from .shared import small_gated_linear_shared, small_linear_shared, takes

try:  # CPU builds of torch come without Triton
    from .streamed import small_gated_linear_streamed, small_linear_streamed
except ImportError:
    small_linear_streamed = None


def small_linear(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None] | None = None,
    low_rank: LowRank | None = None,
) -> list[Tensor]:
    """A few linear maps of the same few rows in one launch; see `small_linear_naive`."""
    if wants_gradients(x, *weights, *(biases or ()), *(low_rank or ())[1:]):
        return small_linear_naive(x, weights, biases, low_rank)
    if x.is_cuda and small_linear_streamed is not None:
        return small_linear_streamed(x, weights, biases, low_rank)
    if low_rank is None and takes(x, weights):
        return small_linear_shared(x, weights, biases)
    return small_linear_naive(x, weights, biases, low_rank)


def small_gated_linear(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
    """silu(x gateᵀ) * (x upᵀ) in one launch; see `small_gated_linear_naive`."""
    if wants_gradients(x, gate, up):
        return small_gated_linear_naive(x, gate, up)
    if x.is_cuda and small_linear_streamed is not None:
        return small_gated_linear_streamed(x, gate, up)
    if takes(x, (gate, up)):
        return small_gated_linear_shared(x, gate, up)
    return small_gated_linear_naive(x, gate, up)
