"""The memory's projections of a long sequence, without a float32 copy of it: `project`."""

from .dispatch import project
from .naive import project_naive

__all__ = ["project", "project_naive"]
