"""The benchmarks. Each module reads published rows (`read`) and scores one answer (`score`)."""

from . import gpqa, hotpotqa, ifeval, locomo, longmemeval, memory_agent_bench, qasper, recall

TASKS = {
    "locomo": locomo,
    "hotpotqa": hotpotqa,
    "ifeval": ifeval,
    "gpqa_diamond": gpqa,
    "memory_agent_bench": memory_agent_bench,
    "qasper": qasper,
    "longmemeval": longmemeval,
    "recall": recall,
}
