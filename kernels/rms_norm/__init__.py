"""RMS norm of a few rows in one launch: `rms_norm`, and `add_rms_norm` with the residual sum before it."""

from .dispatch import add_rms_norm, rms_norm
from .naive import add_rms_norm_naive, rms_norm_naive

__all__ = ["add_rms_norm", "add_rms_norm_naive", "rms_norm", "rms_norm_naive"]
