"""Result files: one JSON line for the run, then one per question; they survive a kill and join after sharding."""

import json
import os
from pathlib import Path

from deltamem.core.atomic import write_atomically

from .errors import EvalError

# What must agree before a run goes on in a file: the rest of the header only tells how it was made.
SETTINGS = (
    "task",
    "condition",
    "adapter_hash",
    "model_fingerprint",
    "lora_hash",
    "protocol_hash",
    "data_hash",
    "dtype",
    "seed",
)


def score(task, item, answer):
    """What a record says of an answer's worth: {"said": the answer cleaned up, "scores": ...}. task: of eval.tasks."""
    said, scores = task.score(item, answer)
    return {"said": said, "scores": {name: list(s) if isinstance(s, tuple) else s for name, s in scores.items()}}


class ResultFile:
    """The file that one process appends to.

    folder, name: the run's results are NAME.jsonl, shards of it NAME.rank-R-of-N.jsonl until they are joined.
    done: id -> record of all questions that any of these files already answers.
    Raises EvalError when one of them belongs to other settings.
    """

    def __init__(self, folder, name, header, rank=0, world=1):
        self.folder, self.name = Path(folder), name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvalError(f"The folder {folder} cannot be made ({error}); give another with --out.") from error
        self.path = self.folder / (f"{name}.jsonl" if world == 1 else f"{name}.rank-{rank}-of-{world}.jsonl")
        self.done = {}
        for path in parts(self.folder, name):
            found, records = read_run(path)
            if found:
                _check_same(path, found, header)
                self.done.update(records)
        found, _ = read_run(self.path) if self.path.exists() else ({}, {})
        self._file = open(self.path, "ab")
        self._file.truncate(_whole_length(self.path))
        if not found:
            self._append([{"kind": "run", **header}])

    def add(self, records):
        """Append records and wait until they are on the disk."""
        self._append([{"kind": "item", **record} for record in records])
        self.done.update((record["id"], record) for record in records)

    def close(self):
        self._file.close()

    def _append(self, values):
        self._file.write(_encode(values))
        self._file.flush()
        os.fsync(self._file.fileno())


def parts(folder, name):
    """The files that hold records of a run."""
    main = [path for path in [folder / f"{name}.jsonl"] if path.exists()]
    return main + sorted(path for path in folder.glob(f"{name}.rank-*.jsonl"))


def join_parts(folder, name):
    """Join all files of a run into NAME.jsonl, in the order of the questions, and remove the shards. Returns its path.

    A kill at any moment loses nothing: the shards go after the joined file is on the disk.
    """
    folder = Path(folder)
    found = parts(folder, name)
    header, records = {}, {}
    for path in found:
        first, some = read_run(path)
        header = header or first
        records.update(some)
    path = folder / f"{name}.jsonl"
    ordered = sorted(records.values(), key=lambda record: record["index"])
    write_atomically(path, _encode([{"kind": "run", **header}, *({"kind": "item", **record} for record in ordered)]))
    for part in found:
        if part != path:
            part.unlink(missing_ok=True)
    return path


def read_run(path):
    """(header, {id: record}) of a result file; ({}, {}) when it was cut off before its header was written.

    A last line that was cut off is left out. Raises EvalError for anything else that is no result file.
    """
    path = Path(path)
    try:
        lines = path.read_bytes()[: _whole_length(path)].decode("utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise EvalError(f"{path} cannot be read ({error}); give a result file of this command.") from error
    values = []
    for number, line in enumerate(lines, 1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        kind = "run" if number == 1 else "item"
        if (
            not isinstance(value, dict)
            or value.get("kind") != kind
            or (number > 1 and not isinstance(value.get("id"), str))
        ):
            raise EvalError(f"{path.name}, line {number} is no result line; give a result file of this command.")
        values.append({key: item for key, item in value.items() if key != "kind"})
    return (values[0], {value["id"]: value for value in values[1:]}) if values else ({}, {})


def _encode(values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode("utf-8", "replace")


def _check_same(path, found, header):
    different = [name for name in SETTINGS if found.get(name) != header.get(name)]
    if different:
        name = different[0]
        raise EvalError(
            f"{path} was made with another {name.replace('_', ' ')} ({found.get(name)}, now {header.get(name)}); "
            "give another folder with --out, or move the file away."
        )


def _whole_length(path):
    """Bytes up to the end of the last whole line."""
    return path.read_bytes().rfind(b"\n") + 1
