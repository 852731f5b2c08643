"""The definition of RMS norm, rounding where the models of transformers round."""

import torch
from torch import Tensor


def rms_norm_naive(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x²) + eps) in float32, rounded to x's dtype, times weight.

    Args:
        x: [..., N] in any floating dtype, rows contiguous.
        weight: [N] in x's dtype.
    """
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(x.dtype)


def add_rms_norm_naive(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(rms_norm(x + residual), x + residual), both like x [..., N]; the sum is rounded to x's dtype first."""
    total = x + residual
    return rms_norm_naive(total, weight, eps), total
