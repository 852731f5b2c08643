"""A layer's memory over a pass, from its projections to reads and state, with gradients: `memory_pass`."""

from .dispatch import memory_pass
from .naive import memory_pass_naive

__all__ = ["memory_pass", "memory_pass_naive"]
