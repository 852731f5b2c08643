"""Errors of models, sessions and session files. Every message names the value, the limit and the remedy."""

from deltamem.core.errors import DeltaMemError


class ModelError(DeltaMemError):
    """A backbone or tokenizer that cannot be found, fetched, read or fitted on the device."""


class SessionError(DeltaMemError):
    """A session asked for something it cannot do."""


class NotANumber(SessionError):
    """The model's output or a memory's state became NaN or infinite; the step in which it did was taken back."""


class SessionFileError(DeltaMemError):
    """A session file that is damaged, too new, or belongs to another backbone or adapter."""
