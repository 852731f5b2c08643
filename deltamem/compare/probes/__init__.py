"""Recall probes: questions with known answers, asked of every arm of a comparison.

probes = read_probes("boat.probes.csv")
messages, probes = plant(facts=4, distractors=4, distance=2, seed=0)
results = run_probes({"base": base_session, "memory": memory_session}, probes)
results.summary(), results.table(), results.to_csv()
"""

from .files import MAX_BYTES, MAX_PROBES, probes_from_rows, read_probes
from .model import Probe
from .planted import plant
from .results import ProbeAnswer, ProbeResults
from .run import run_probes

__all__ = [
    "MAX_BYTES",
    "MAX_PROBES",
    "Probe",
    "ProbeAnswer",
    "ProbeResults",
    "plant",
    "probes_from_rows",
    "read_probes",
    "run_probes",
]
