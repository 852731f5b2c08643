"""Asking all arms at once: one question, several answers that grow side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from deltamem.runtime.together import reply_together

from .workspace import Arm, Turn, Workspace


def talk(workspace: Workspace, question: str, **sampling) -> Iterator[None]:
    """Let every arm answer `question`, one event of each in turn, and yield after each event.

    The arms' chats and stats follow. Setting workspace.stop, or closing this generator, ends all answers and keeps
    what was said. On an error every arm is as before, workspace.failed holds the question, and the error is raised.
    """
    before = {key: arm.session.stats()["turns"] for key, arm in workspace.arms.items()}
    shown = {key: (list(arm.chat), arm.stats) for key, arm in workspace.arms.items()}
    workspace.failed = None
    arms = list(workspace.arms.values())
    try:
        with closing(reply_together([arm.session for arm in arms], question, **sampling)) as events:
            for arm in arms:
                arm.chat = [*arm.chat, _said("user", question), _said("assistant", "")]
                arm.stats = None
            yield
            while not workspace.stop.is_set() and (step := next(events, None)):
                index, event = step
                _take(arms[index], event)
                yield
    except GeneratorExit:
        _settle(workspace, question, before)
        raise
    except Exception:
        for key, arm in workspace.arms.items():
            if arm.session.stats()["turns"] > before[key]:
                arm.session.undo()
            arm.chat, arm.stats = shown[key]
        workspace.failed = question
        raise
    _settle(workspace, question, before)
    yield


def take_back(workspace: Workspace) -> str | None:
    """Take the last turn back in every arm and return its question; None when there is none."""
    if workspace.failed is not None:
        question, workspace.failed = workspace.failed, None
        return question
    if not workspace.turns:
        return None
    turn = workspace.turns.pop()
    for key, arm in workspace.arms.items():
        if key in turn.kept:
            arm.session.undo()
        arm.chat = arm.chat[:-2]
        arm.stats = arm.session.stats()["last"]
    return turn.question


def _take(arm: Arm, event) -> None:
    if event.kind == "stats":
        arm.stats = event.stats
    elif event.text:
        # A new dict: the one before may be on its way to the browser.
        arm.chat = [*arm.chat[:-1], _said("assistant", arm.chat[-1]["content"] + event.text)]


def _settle(workspace: Workspace, question: str, before: dict[str, int]) -> None:
    kept = set()
    for key, arm in workspace.arms.items():
        stats = arm.session.stats()
        if stats["turns"] > before[key]:
            kept.add(key)
            arm.stats = stats["last"]
            # An answer that was stopped may end in the middle of a character that only the session completes.
            arm.chat = [*arm.chat[:-1], _said("assistant", arm.session.messages[-1]["content"])]
        else:
            arm.stats = {"stop": "before"}
    workspace.turns.append(Turn(question, kept))


def _said(role: str, content: str) -> dict:
    return {"role": role, "content": content}
