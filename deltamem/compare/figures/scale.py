"""Scales that stay: one for all turns and arms, so that two figures can always be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np
from matplotlib.colors import LogNorm, Normalize, PowerNorm

QUANTILE = 0.995
RULE = (
    "One scale for all turns and columns: the largest 99.5th percentile of |S| in any of them, "
    "rounded up to 1, 2, 3 or 5. Cells beyond it have the end colour."
)


class Snapshot(Protocol):
    """What the figures need of a session's snapshot."""

    label: str
    layers: list[str]
    states: np.ndarray  # [L, H, r, r]
    beta: np.ndarray  # [L, H, r]
    lam: np.ndarray  # [L, H, r]
    written_tokens: int


def state_limit(snapshots: Iterable[Snapshot]) -> float:
    """The value at both ends of the state scale for `snapshots` (all turns, all arms); 1.0 when nothing is written.

    A percentile, so that one outlying cell does not bleach all others, taken turn by turn and then the largest, so
    that a quiet turn never narrows the scale; rounded up to 1, 2, 3 or 5 times a power of ten, so that it seldom moves.
    """
    largest = 0.0
    for snapshot in snapshots:
        values = np.abs(snapshot.states[np.isfinite(snapshot.states)])
        if values.size:
            largest = max(largest, float(np.quantile(values, QUANTILE)) or float(values.max()))
    return round_up(largest) if largest > 0 else 1.0


def size_limit(snapshots: Iterable[Snapshot]) -> float:
    """The upper end of the scale of norms and singular values: the largest norm of a layer, rounded up."""
    largest = max((float(np.nanmax(layer_norms(snapshot), initial=0.0)) for snapshot in snapshots), default=0.0)
    return round_up(largest) if largest > 0 else 1.0


def layer_norms(snapshot: Snapshot) -> np.ndarray:
    """‖S‖ of each layer [L]: the Frobenius norm over all its state heads."""
    return np.linalg.norm(snapshot.states.reshape(len(snapshot.states), -1), axis=1)


def gate_scale() -> Normalize:
    """0 to 1, even steps."""
    return Normalize(0, 1)


def token_scale() -> Normalize:
    """0 to 1 with more room for small gates, which most tokens have; the same everywhere."""
    return PowerNorm(0.5, 0, 1)


def influence_scale() -> Normalize:
    """From a hundredth of the attention's own output to ten times it; the same everywhere."""
    return LogNorm(0.01, 10, clip=True)


def round_up(value: float) -> float:
    """The least of 1, 2, 3, 5 × 10^n that is not below `value` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next(step for step in (1, 2, 3, 5, 10) if value <= step * power * (1 + 1e-9))
    return float(f"{step * power:.1g}")


def decimals(limit: float) -> int:
    """Decimals that tell apart values on a scale of ±`limit`: two from 0.5 to 2, one more for each power of ten."""
    return min(max(2 - math.floor(math.log10(2 * limit)), 0), 6)
