"""One entry to the memory's projections: the Triton kernel on a GPU, the plain form elsewhere and for gradients."""

from torch import Tensor

from ..launch import wants_gradients
from .naive import project_naive

try:  # CPU builds of torch come without Triton
    from .tiled import project_tiled
except ImportError:
    project_tiled = None


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None, invalid: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias in float32 [B, T, P]; see `project_naive`."""
    fast = x.is_cuda and project_tiled is not None and not wants_gradients(x, weight, bias)
    return (project_tiled if fast else project_naive)(x, weight, bias, invalid)
