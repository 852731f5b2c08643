"""Asking all columns at once: one question, several answers that grow side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from deltamem.core.errors import DeltaMemError

from .workspace import Column, Turn, Workspace


def talk(workspace: Workspace, question: str, **sampling) -> Iterator[None]:
    """Let every column answer `question` and yield after each event. The columns' chats and stats follow.

    A column whose prompt would not fit the model's window says so and the others go on; when none fits, that is
    raised. Setting workspace.stop, or closing this generator, ends all answers and keeps what was said. On any other
    error every column is as before, workspace.failed holds the question, and the error is raised.
    """
    workspace.failed = None
    columns = dict(workspace.arms)
    shown = {key: (column.chat, column.stats, column.failure) for key, column in columns.items()}
    before: dict[str, int] = {}
    try:
        for key, column in columns.items():
            _open(workspace, column, question)
            if column.failure is None:
                before[key] = column.session.stats()["turns"]
        if not before:
            raise DeltaMemError(next(column.failure for column in columns.values() if column.failure))
        yield
        yield from _answers(workspace, list(before), question, sampling)
    except GeneratorExit:
        _settle(workspace, before, question, sampling)
        raise
    except Exception:
        for key, column in columns.items():
            if key in before and column.session.stats()["turns"] > before[key]:
                column.session.undo()
            column.chat, column.stats, column.failure = shown[key]
        workspace.failed = question
        raise
    _settle(workspace, before, question, sampling)
    yield


def take_back(workspace: Workspace) -> str | None:
    """Take the last turn back in every column and return its question; None when there is none."""
    if workspace.failed is not None:
        question, workspace.failed = workspace.failed, None
        return question
    if not workspace.steps or not isinstance(workspace.steps[-1], Turn):
        return None
    turn = workspace.steps.pop()
    for key, column in {**workspace.shelf, **workspace.arms}.items():
        if column.done <= len(workspace.steps):
            continue  # it has not been through this turn
        if key in turn.kept:
            column.real.undo()
            if column.control:  # the turn was answered without it: its copy begins anew
                column.session = column.control.make(column.real)
        elif column.control and column.control is turn.aside.get(key):  # a control put on since has a copy without it
            column.session.undo()
        column.done -= 1
        column.chat = column.chat[:-2]
        column.stats = column.session.stats()["last"]
        column.failure = None
    return turn.question


def said(role: str, content: str, tag: str | None = None) -> dict:
    """A chat message as columns keep it."""
    return {"role": role, "content": content, **({"tag": tag} if tag else {})}


def _open(workspace: Workspace, column: Column, question: str) -> None:
    """Show the question in a column and see whether it can be answered there."""
    column.chat = [*column.chat, said("user", question), _growing(column, "")]
    column.stats = None
    if column.done < len(workspace.steps):
        return  # its failure, which says why it is behind, stands
    try:
        column.session.check_room(question)
        column.failure = None
    except DeltaMemError as error:
        column.failure = str(error)


def _answers(workspace: Workspace, keys: list[str], question: str, sampling: dict) -> Iterator[None]:
    columns = [workspace.arms[key] for key in keys]
    sessions = [column.session for column in columns]
    with closing(workspace.device.run("answers", sessions, workspace.stop, question, sampling)) as events:
        for index, event in events:
            column = columns[index]
            if event.kind == "stats":
                column.stats = event.stats
            elif event.text:
                # A new dict: the one before may be on its way to the browser.
                column.chat = [*column.chat[:-1], _growing(column, column.chat[-1]["content"] + event.text)]
            yield


def _settle(workspace: Workspace, before: dict[str, int], question: str, sampling: dict) -> None:
    """Make the turn a step: what each session kept of it is what its chat shows."""
    kept, aside = set(), {}
    for key, column in workspace.arms.items():
        if key in before:
            stats = column.session.stats()
            if stats["turns"] > before[key]:
                if column.control:
                    aside[key] = column.control
                else:
                    kept.add(key)
                column.stats = stats["last"]
                # An answer that was stopped may end in the middle of a character that only the session completes.
                column.chat = [*column.chat[:-1], _growing(column, column.session.messages[-1]["content"])]
            else:
                column.stats = {"stop": "before"}
        if column.done == len(workspace.steps):
            column.done += 1
    workspace.steps.append(Turn(question, kept, aside, dict(sampling)))


def _growing(column: Column, content: str) -> dict:
    return said("assistant", content, column.warning)
