"""Errors a user can act on. Every message names the value, the limit and the remedy."""


class DeltaMemError(Exception):
    """Base of all errors this project raises on purpose; show the message, not the traceback."""


class ConfigError(DeltaMemError):
    """A configuration value that is unknown, out of range or contradicts another."""


class AdapterError(DeltaMemError):
    """An adapter folder that cannot be read or does not fit the backbone."""


class StateError(DeltaMemError):
    """An online state whose names, shape, device or dtype do not fit the pass."""


class MaskError(DeltaMemError):
    """A mask or id tensor that does not fit the input."""
