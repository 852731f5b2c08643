"""Errors of comparisons. Every message is one sentence that names the value, the limit and the remedy."""

from deltamem.core.errors import DeltaMemError


class ArmError(DeltaMemError):
    """Settings of an arm, or of a control, that contradict each other or that the model cannot honour."""


class ProbeError(DeltaMemError):
    """Probes that cannot be read, planted or run."""


class CommandError(DeltaMemError):
    """A file that a command line names and that cannot be used."""


class ReportError(DeltaMemError):
    """A report that cannot be written."""
