"""A published protocol: prompts, decoding, clipping and what the table shows, from protocols/TASK.yaml."""

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from .errors import EvalError

FOLDER = Path(__file__).parent / "protocols"
CLIPS = ("recent", "start", "middle")


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is asked and counted.

    title: shown to people. source: where the protocol is described. data: where the rows are (see data.hub_rows).
    history: "message" puts the history into the question's own message, "turns" shows it as the messages it is.
    prompt: the message with {history} (all of it, or the retrieved passages) and {question}; prompt_alone: without.
    question_by_kind: wording of {question} for some kinds. opening: put before the history, with the task's names.
    max_new_tokens: of an answer; by_source: other lengths by the first part of an item's source.
    temperature, top_p, top_k: decoding (temperature 0: greedy).
    clip: what stays of a history that does not fit: "recent" (its end), "start" (its beginning), "middle" (the first
        third and the last two thirds of the room).
    passages: retrieved for a question, at most.
    metrics: score -> column title, the first is the primary one. groups: kind -> title, rows of the detailed table.
    hash: sha256 of the file.
    """

    title: str
    source: str
    data: dict
    prompt_alone: str
    max_new_tokens: int
    metrics: dict
    hash: str
    history: str = "message"
    prompt: str = "{history}\n\n{question}"
    opening: str = ""
    question_by_kind: dict = field(default_factory=dict)
    by_source: dict = field(default_factory=dict)
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    clip: str = "recent"
    passages: int = 8
    groups: dict = field(default_factory=dict)

    @property
    def primary(self):
        return next(iter(self.metrics))

    def question(self, item):
        """The item's question as this protocol words it."""
        return self.question_by_kind.get(item.kind, "{question}").replace("{question}", item.question)

    def new_tokens(self, item):
        """Tokens of the item's answer at most."""
        source = item.extra.get("source", "").split("_")[0].lower()
        return self.by_source.get(source, self.max_new_tokens)


def read_protocol(task, folder=FOLDER):
    """The Protocol of a task. Raises EvalError for a file that is not one."""
    path = folder / f"{task}.yaml"
    try:
        text = path.read_bytes()
        values = yaml.safe_load(text)
        protocol = Protocol(**values, hash=hashlib.sha256(text).hexdigest())
    except (OSError, yaml.YAMLError, TypeError) as error:
        known = ", ".join(f.name for f in fields(Protocol) if f.name != "hash")
        raise EvalError(f"{path} is no protocol ({error}); its fields are {known}.") from error
    if protocol.clip not in CLIPS or protocol.history not in ("message", "turns") or not protocol.metrics:
        raise EvalError(
            f'{path.name}: clip is one of {", ".join(CLIPS)}, history "message" or "turns", and metrics not empty.'
        )
    for name in ("prompt", "prompt_alone"):
        if "{question}" not in getattr(protocol, name):
            raise EvalError(f"{path.name}: {name} must contain {{question}}.")
    return protocol
