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

    Raises:
        ValueError: shapes that do not fit together, reads or a weight that are not float32.
    """
    check_steer(output, reads, weight)
    return torch.add(output, F.linear(reads, weight), alpha=factor).to(output.dtype)


def check_steer(output, reads, weight) -> None:
    """Raise ValueError unless the arguments fit."""
    if weight.shape != (output.shape[-1], reads.shape[-1]) or output.shape[:-1] != reads.shape[:-1]:
        raise ValueError(
            f"output is {list(output.shape)}, reads {list(reads.shape)} and the weight {list(weight.shape)}; "
            f"give [..., N], [..., W] and [N, W]"
        )
    if not reads.dtype == weight.dtype == torch.float32:
        raise ValueError(
            f"reads and weight are {reads.dtype} and {weight.dtype}; the memory's arithmetic is float32, convert them"
        )
