"""The definition of the steer."""

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
    return (output.float() + factor * (reads @ weight.T)).to(output.dtype)
