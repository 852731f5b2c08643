"""What a saved page says beside its sessions: columns, chats and steps, as JSON. Nothing is believed unchecked."""

from __future__ import annotations

import json
from itertools import cycle

from deltamem.compare.arms import Arm
from deltamem.core.errors import DeltaMemError
from deltamem.quoting import quoted
from deltamem.runtime.sampling import Sampling
from deltamem.transcripts import Transcript

from .workspace import FEWEST, MOST, Turn, Workspace

VERSION = 2
MAX_VALUES = 1_000_000  # marks that can open or part JSON values: each may take twenty times its size in memory
ROLES = ("user", "assistant")
SAID = {"role", "content", "tag"}
REMEDY = "choose a file that “Save” of this page has written"


class BundleError(Exception):
    """A saved session that cannot be read. The text is one sentence for the user."""


def content(workspace: Workspace) -> dict:
    """The record of a page, as plain values."""
    return {
        "version": VERSION,
        "columns": [
            {"arm": column.arm.settings(), "chat": column.chat, "failure": column.failure, "done": column.done}
            for column in workspace.arms.values()
        ],
        "steps": [
            {"question": step.question, "kept": sorted(step.kept), "sampling": step.sampling}
            if isinstance(step, Turn)
            else {"history": len(step.messages), "name": step.name}
            for step in workspace.steps
        ],
        "questions": workspace.histories[-1].questions if workspace.histories else [],
    }


def check(data: bytes) -> dict:
    """The record in a file's bytes, every value of the kind that it must have. Raises BundleError."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise BundleError(f"The file's record lists more than the {MAX_VALUES:,} values that one may: {REMEDY}.")
    try:
        page = json.loads(data)
        version = page["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"The file's record is damaged: {REMEDY}.") from None
    if version != VERSION:
        raise BundleError(
            f"The file's record is of version {quoted(version, 20)}, this page reads {VERSION}: {REMEDY}."
        )
    try:
        columns, steps = page["columns"], page["steps"]
        sound = [
            FEWEST <= len(columns) <= MOST,
            len({column["arm"]["key"] for column in columns}) == len(columns),
            all(isinstance(text, str) for text in page["questions"]),
            all(_sound_step(step) for step in steps),
        ]
        for column in columns:
            Arm(**column["arm"])
            sound += [
                isinstance(column["failure"], str | None),
                isinstance(column["done"], int) and 0 <= column["done"] <= len(steps),
                all(isinstance(said["content"], str) and set(said) <= SAID for said in column["chat"]),
                all(said["role"] == role for said, role in zip(column["chat"], cycle(ROLES), strict=False)),
                all(isinstance(said.get("tag", ""), str) for said in column["chat"]),
            ]
    except (KeyError, TypeError, AttributeError, DeltaMemError):
        sound = [False]
    if not all(sound):
        raise BundleError(f"The file's record is damaged: {REMEDY}.")
    return page


def steps_of(page: dict, history: list[dict]) -> list:
    """The page's steps; `history` holds the messages of all that was written, one after the other."""
    steps, rest = [], list(history)
    for step in page["steps"]:
        if "question" in step:
            steps.append(Turn(step["question"], set(step["kept"]), sampling=step["sampling"]))
            continue
        messages, rest = rest[: step["history"]], rest[step["history"] :]
        if len(messages) != step["history"]:
            raise BundleError(f"The file's parts do not belong together (history is missing): {REMEDY}.")
        if messages:
            steps.append(Transcript(messages, "history of the session", [], page["questions"], step.get("name", "")))
    return steps


def _sound_step(step: dict) -> bool:
    if "history" in step:
        return isinstance(step["history"], int) and step["history"] >= 0 and isinstance(step.get("name", ""), str)
    Sampling(**step["sampling"])
    return isinstance(step["question"], str) and all(isinstance(key, str) for key in step["kept"])
