"""The memory's recurrence over a sequence: `affine_scan`, its plain definition and its fast forms."""

from .dispatch import affine_scan
from .naive import affine_scan_naive

__all__ = ["affine_scan", "affine_scan_naive"]
