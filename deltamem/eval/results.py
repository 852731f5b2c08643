"""Result files as the tables and the plot take them: checked, and joined where they are parts of one run."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from .conditions import CONDITIONS
from .errors import EvalError
from .intervals import mean_interval, pairs
from .items import Item, Row
from .protocol import read_protocol
from .records import SETTINGS, read_run, score
from .tasks import TASKS

# What the tables need of a run's first line, and of a question's.
HEADER_TEXTS = ("model", "asked", "device", "dtype", "data_hash", "protocol_hash")
NUMBERS = ("seconds", "prompt_tokens", "written_tokens", "new_tokens", "peak_bytes")
REMEDY = "give a result file of this command"


@dataclass(frozen=True)
class Result:
    """A run, finished or not: its header, its records in the order of the questions, and its protocol.

    mark: what tells it from another run of the same condition, for its title.
    """

    header: dict
    records: list
    protocol: object
    mark: str = ""

    @property
    def title(self):
        adapter = f", {self.header['adapter']}" if self.header["adapter"] else ""
        return f"{CONDITIONS[self.header['condition']].title}{adapter}{self.mark}"

    @property
    def model(self):
        return self.header["model"]

    @property
    def place(self):
        """Where it stands in a table: models apart, conditions in their order."""
        return self.model, list(CONDITIONS).index(self.header["condition"]), self.title

    @property
    def whole(self):
        return len(self.records) == self.header["questions"]

    @property
    def count(self):
        """How many questions were answered, as the table says it."""
        return str(len(self.records)) if self.whole else f"{len(self.records)} of {self.header['questions']}"

    def mean(self, name):
        """(mean, low, high) of a score, 0 to 1."""
        return mean_interval(*pairs(self.records, name))


def read_results(paths):
    """{task: [Result, ...]} of result files, conditions in their order; files of one run (shards, say) are one Result.

    Files without an answer yet are left out and told. Raises EvalError when the others cannot be joined.
    """
    runs, empty = {}, []
    for path in paths:
        header, records = _read(path)
        if not records:
            empty.append(Path(path).name)
            continue
        for other, _ in runs.values():
            for name, what in (("protocol_hash", "protocol"), ("data_hash", "data")):
                if other["task"] == header["task"] and other[name] != header[name]:
                    raise EvalError(
                        f"{Path(path).name} was run on another {what} than the other {header['task']} files "
                        f"({header[name][:12]}, not {other[name][:12]}); join runs of one {what} only."
                    )
        _, joined = runs.setdefault(tuple(header.get(name) for name in SETTINGS), (header, {}))
        joined.update(records)
    if not runs:
        raise EvalError(f"{', '.join(empty)}: no answer yet; start the command again.")
    if empty:
        print(f"left out, with no answer yet: {', '.join(empty)}", file=sys.stderr)
    results = {}
    for header, records in runs.values():
        ordered = sorted(records.values(), key=lambda record: record["index"])
        results.setdefault(header["task"], []).append(Result(header, ordered, read_protocol(header["task"])))
    return {task: sorted(_told_apart(found), key=lambda result: result.place) for task, found in results.items()}


def _told_apart(found):
    """The results, with a mark where two of them would have the same title."""
    for result in found:
        same = [other for other in found if other.place == result.place]
        differing = [name for name in SETTINGS if len({other.header.get(name) for other in same}) > 1]
        said = ", ".join(f"{name.removesuffix('_hash')} {str(result.header.get(name))[:12]}" for name in differing)
        yield replace(result, mark=f" ({said})" if said else "")


def _read(path):
    """(header, {id: record}) of a result file that the tables can be made from. Raises EvalError for any other."""
    header, records = read_run(path)
    name = Path(path).name
    if header.get("condition") not in list(CONDITIONS) or header.get("task") not in list(TASKS):
        raise EvalError(f"{name} holds no run; give a result file of this command.")
    first = Row(header, f"{name}, line 1", REMEDY)
    first.get("questions", int)
    for key in (*HEADER_TEXTS, *(("adapter", "adapter_hash") if header.get("adapter") else ())):
        first.get(key, str)
    metrics = read_protocol(header["task"]).metrics
    for number, (key, record) in enumerate(records.items(), 2):
        row = Row(record, f"{name}, line {number}", REMEDY)
        known = record.get("scores")
        if not (isinstance(known, dict) and set(metrics) <= set(known)):  # kept without, or a metric was added since
            records[key] = row.value = record | _scored(TASKS[header["task"]], row)
        _check_record(row, metrics)
    return header, records


def _scored(task, row):
    """A record's answer scored by what the record says of its question."""
    texts, kind, extra = (row.get("id", str), row.get("question", str)), row.get("group", str), row.get("extra", dict)
    item, answer = Item(*texts, row.texts("gold"), kind, extra), row.get("answer", str)
    try:
        return score(task, item, answer)
    except EvalError:
        raise
    except Exception as error:  # golds or extras of another task: each scorer stumbles in its own way
        raise EvalError(f"{row.where} cannot be scored ({error!r:.200}); {REMEDY}.") from error


def _check_record(row, metrics):
    for key in NUMBERS:
        row.get(key, int, float)
    row.get("index", int), row.get("group", str), row.get("stop", str), row.get("clipped", bool)
    scores = row.get("scores", dict)
    for key in metrics:
        parts = scores[key] if isinstance(scores[key], list) and len(scores[key]) == 2 else [scores[key]]
        if not all(isinstance(part, int | float) and math.isfinite(part) for part in parts):
            raise EvalError(f'{row.where}, "{key}" is {scores[key]!r}, which is no score; {REMEDY}.')
