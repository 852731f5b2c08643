"""The definition of the steer."""

import torch
import torch.nn.functional as F
from torch import Tensor


def steer_naive(output: Tensor, reads: Tensor, weight: Tensor, factor: float = 1.0) -> Tensor:
    """output + factor * (reads @ weightᵀ), in float32, rounded once to output's dtype.

    Args:
        output: [..., N] in any floating dtype.
        reads: [..., W] float32.
        weight: [N, W] float32.

    Returns:
        A new tensor like `output`.
    """
    return torch.add(output, F.linear(reads, weight), alpha=factor).to(output.dtype)
