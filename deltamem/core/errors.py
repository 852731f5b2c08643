"""What can go wrong, each named once. Every message says the value, the limit and the remedy."""

from deltamem.quoting import quoted


class DeltaMemError(Exception):
    """Base of all errors raised on purpose by this library."""


class ConfigError(DeltaMemError):
    """An adapter configuration that this library cannot honour."""


class AdapterError(DeltaMemError):
    """An adapter folder that cannot be found or read, or does not fit the backbone."""


class StateError(DeltaMemError):
    """A memory state, or the ids that steer its writes, that do not fit the pass."""


class MaskError(DeltaMemError):
    """An attention mask from which the valid tokens cannot be told."""


def listing(items: list[str], shown: int = 8, width: int = 200) -> str:
    """Join items for a message; long items are cut, and so is a long list, whose length is then given."""
    text = ", ".join(quoted(item, width) for item in items[:shown])
    return text if len(items) <= shown else f"{text} and {len(items) - shown} more ({len(items)} in all)"
