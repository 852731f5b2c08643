"""The memory's correction added to a projection's output over a whole sequence: `steer`."""

from .dispatch import steer
from .naive import steer_naive

__all__ = ["steer", "steer_naive"]
