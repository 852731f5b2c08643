"""The definition of rotary positions, and of the norms before them, rounding where the models of transformers round."""

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


def turn_heads(
    q: Tensor, k: Tensor, turn: tuple[Tensor, Tensor] | None, norms: HeadNorms | None = None
) -> tuple[Tensor, Tensor]:
    """x * cos + turned(x) * sin with turned(x) = (-second half, first half) of each head.

    Args:
        q, k: [B, Hq, D] and [B, Hkv, D] of one token.
        turn: (cos, sin), each [B, D] in the dtype of q and k, as transformers' rotary embedding gives them; None: the
            heads are not turned.
        norms: RMS norms to apply to the heads first.

    Returns:
        The normed and turned q and k.
    """
    if norms is not None:
        q, k = rms_norm_naive(q, norms.q, norms.eps), rms_norm_naive(k, norms.k, norms.eps)
    if turn is None:
        return q, k
    cos, sin = (x[:, None] for x in turn)
    return q * cos + _turned(q) * sin, k * cos + _turned(k) * sin


def _turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)
