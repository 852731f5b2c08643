"""The memory's part of a single-token step: `decode_step`, from packed projections to reads and the new state."""

from .dispatch import decode_step
from .naive import decode_step_naive

__all__ = ["decode_step", "decode_step_naive"]
