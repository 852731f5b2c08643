"""The definition of the memory's projections."""

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
    """
    x = x.float()
    if invalid is not None:
        x = x.masked_fill(invalid, 0.0)
    return F.linear(x, weight, bias)
