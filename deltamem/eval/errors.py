"""What can go wrong in an evaluation. Every message says the value, the limit and the remedy."""

from deltamem.core.errors import DeltaMemError


class EvalError(DeltaMemError):
    """Data, settings, files or packages with which an evaluation cannot be run or joined."""
