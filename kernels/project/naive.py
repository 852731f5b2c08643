"""The definition of the memory's projections."""

import torch
import torch.nn.functional as F
from torch import Tensor


def project_naive(x: Tensor, weight: Tensor, bias: Tensor | None = None, invalid: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias in float32, with tokens that are not valid taken as zeros, whatever they hold.

    Args:
        x: [B, T, K] in any floating dtype.
        weight: [P, K] float32.
        bias: [P] float32 or None.
        invalid: bool [B, T, 1] or None.

    Returns:
        [B, T, P] float32.

    Raises:
        ValueError: shapes that do not fit together, a weight that is not float32.
    """
    check_project(x, weight, bias, invalid)
    x = x.float()
    if invalid is not None:
        x = x.masked_fill(invalid, 0.0)
    return F.linear(x, weight, bias)


def check_project(x, weight, bias, invalid) -> None:
    """Raise ValueError unless the arguments fit."""
    if x.dim() != 3 or weight.dim() != 2 or weight.shape[1] != x.shape[2]:
        raise ValueError(f"x is {list(x.shape)} and the weight {list(weight.shape)}; give [B, T, K] and [P, K]")
    if weight.dtype != torch.float32:
        raise ValueError(f"the weight is {weight.dtype}; the memory's arithmetic is float32, convert it first")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"the bias is {list(bias.shape)}; give {list(weight.shape[:1])}")
    if invalid is not None and invalid.shape != (*x.shape[:2], 1):
        raise ValueError(f"invalid is {list(invalid.shape)}; give {[*x.shape[:2], 1]}")
