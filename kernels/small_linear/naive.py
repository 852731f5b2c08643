"""The definition of linear maps that share one small input, with an optional correction of low rank."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ROWS = 8
MAX_MAPS = 4


class LowRank(NamedTuple):
    """A correction of one of the outputs: + scale[b] * (weight @ reads[b]), before the one rounding to its dtype.

    Attributes:
        index: which output.
        reads: [B, W] float32.
        weight: [N_index, W] float32, W up to 256.
        scale: [B] float32; a row of scale 0 comes out as without correction, bit for bit.
    """

    index: int
    reads: Tensor
    weight: Tensor
    scale: Tensor


def small_linear_naive(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None] | None = None,
    low_rank: LowRank | None = None,
) -> list[Tensor]:
    """x W_iᵀ + b_i for a few matrices that read the same x, accumulated in float32 and rounded once.

    Args:
        x: [B, K], B from 1 to 8, bfloat16, float16 or float32.
        weights: 1 to 4 matrices [N_i, K], each in one of these dtypes, rows contiguous.
        biases: one [N_i] or None for each matrix; None for none at all.
        low_rank: a correction of one output.

    Returns:
        [B, N_i] for each matrix, in the matrix's dtype. A row's result does not depend on the other rows.

    Raises:
        ValueError: more rows or matrices than that, or shapes that do not fit.
    """
    biases = check_linear(x, weights, biases, low_rank)
    outputs = []
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = F.linear(x.float(), weight.float(), None if bias is None else bias.float())
        if low_rank is not None and low_rank.index == index:
            scale = low_rank.scale[:, None]
            y = y + F.linear(torch.where(scale == 0, 0.0, scale * low_rank.reads), low_rank.weight)
        outputs.append(y.to(weight.dtype))
    return outputs


def small_gated_linear_naive(x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
    """silu(x gateᵀ) * (x upᵀ): x [B, K], gate and up [N, K] -> [B, N], rounded where a plain module would round.

    Raises ValueError as `small_linear_naive`.
    """
    gated, raised = small_linear_naive(x, [gate, up])
    return F.silu(gated.float()).to(gate.dtype) * raised


def check_linear(x, weights, biases, low_rank) -> list[Tensor | None]:
    """Raise ValueError unless the arguments fit; returns one bias (or None) for each matrix."""
    if x.ndim != 2 or not 1 <= x.shape[0] <= MAX_ROWS:
        raise ValueError(f"x is {list(x.shape)}; give [B, K] with B from 1 to {MAX_ROWS}")
    if not 1 <= len(weights) <= MAX_MAPS:
        raise ValueError(f"{len(weights)} matrices were given; give 1 to {MAX_MAPS}")
    for weight in weights:
        if weight.ndim != 2 or weight.shape[1] != x.shape[1]:
            raise ValueError(f"a matrix is {list(weight.shape)} but x is {list(x.shape)}; give [N, {x.shape[1]}]")
    if low_rank is not None:
        rows = weights[low_rank.index].shape[0]
        width = low_rank.reads.shape[-1]
        if tuple(low_rank.weight.shape) != (rows, width):
            raise ValueError(f"the low-rank weight is {list(low_rank.weight.shape)}; it must be [{rows}, {width}]")
    biases = [None] * len(weights) if biases is None else list(biases)
    if len(biases) != len(weights):
        raise ValueError(f"{len(biases)} biases for {len(weights)} matrices; give one (or None) for each")
    return biases
