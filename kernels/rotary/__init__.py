"""Rotary positions on one token's queries and keys, in one launch: `rotary`."""

from .dispatch import rotary
from .naive import HeadNorms, rotary_naive

__all__ = ["HeadNorms", "rotary", "rotary_naive"]
