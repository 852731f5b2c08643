"""One entry to RMS norm: the Triton kernel on a GPU, the plain form elsewhere and for gradients."""

from torch import Tensor

from ..launch import wants_gradients
from .naive import add_rms_norm_naive, rms_norm_naive

try:  # CPU builds of torch come without Triton
    from .fused import add_rms_norm_fused, rms_norm_fused
except ImportError:
    rms_norm_fused = None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMS norm over the last dimension; see `rms_norm_naive`."""
    fast = x.is_cuda and rms_norm_fused is not None and not wants_gradients(x, weight)
    return (rms_norm_fused if fast else rms_norm_naive)(x, weight, eps)


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Norm of a sum, and the sum; see `add_rms_norm_naive`."""
    fast = x.is_cuda and rms_norm_fused is not None and not wants_gradients(x, residual, weight)
    return (add_rms_norm_fused if fast else add_rms_norm_naive)(x, residual, weight, eps)
