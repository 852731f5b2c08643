"""A comparison as a report: one folder or ZIP with everything that a paper or a colleague needs.

    write_report("report.zip", arms, sessions, probes=results, history=messages, name="boat.json")

report.html (self-contained), report.md, report.json (settings, versions, fingerprints, findings, answers), probes.csv,
and per arm with memory: figures as PNG and SVG with their numbers as CSV, and all states and gates as CSV.
"""

from .facts import history_sha256
from .write import check_target, write_report

__all__ = ["check_target", "history_sha256", "write_report"]
