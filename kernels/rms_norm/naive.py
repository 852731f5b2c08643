"""The definition of RMS norm, rounding where the models of transformers round."""

import torch
from torch import Tensor


def rms_norm_naive(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) in float32, rounded to x's dtype, times weight.

    Args:
        x: [..., N] in any floating dtype, rows contiguous.
        weight: [N] in x's dtype.

    Raises:
        ValueError: a weight of another size.
    """
    check_norm(x, weight)
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(x.dtype)


def add_rms_norm_naive(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(rms_norm(x + residual), x + residual), both like x [..., N]; the sum is rounded to x's dtype first."""
    check_norm(x, weight, residual)
    total = x + residual
    return rms_norm_naive(total, weight, eps), total


def check_norm(x, weight, residual=None) -> None:
    """Raise ValueError unless the arguments fit."""
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"the weight is {list(weight.shape)} and x {list(x.shape)}; give {list(x.shape[-1:])}")
    if residual is not None and (residual.shape, residual.dtype) != (x.shape, x.dtype):
        raise ValueError(
            f"x is {list(x.shape)} in {x.dtype} and the residual {list(residual.shape)} in {residual.dtype}; "
            f"give two of a kind"
        )
