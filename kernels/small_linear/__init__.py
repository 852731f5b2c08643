"""Linear maps of a handful of rows, bound by the reading of their weights: `small_linear` and `small_gated_linear`."""

from .dispatch import small_gated_linear, small_linear
from .naive import MAX_ROWS, LowRank, small_gated_linear_naive, small_linear_naive

__all__ = [
    "MAX_ROWS",
    "LowRank",
    "small_gated_linear",
    "small_gated_linear_naive",
    "small_linear",
    "small_linear_naive",
]
