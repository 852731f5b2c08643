"""The definition of rotary positions for a decode step, rounding where the models of transformers round."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..rms_norm.naive import rms_norm_naive


class HeadNorms(NamedTuple):
    """RMS norms of the heads before they are turned (as in Qwen3).

    Attributes:
        q, k: [D] weights, in the dtype of q and k.
        eps: added to the mean square.
    """

    q: Tensor
    k: Tensor
    eps: float


def rotary_naive(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, norms: HeadNorms | None = None
) -> tuple[Tensor, Tensor]:
    """x * cos + turned(x) * sin with turned(x) = (-second half, first half) of each head.

    Args:
        q, k: [B, Hq, D] and [B, Hkv, D] of one token, the last two dimensions contiguous; D a power of two in the
            fast form.
        cos, sin: [B, D] in the dtype of q and k, as transformers' rotary embedding gives them.
        norms: RMS norms to apply to the heads first.

    Returns:
        The turned q and k, new tensors.
    """
    if norms is not None:
        q, k = rms_norm_naive(q, norms.q, norms.eps), rms_norm_naive(k, norms.k, norms.eps)
    cos, sin = cos[:, None], sin[:, None]
    return q * cos + _turned(q) * sin, k * cos + _turned(k) * sin


def _turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
