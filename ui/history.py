"""Giving the columns their history, and bringing a new column to where the others are."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError
from deltamem.transcripts import Transcript

from .background import Stopped
from .talk import said
from .workspace import Column, Turn, Workspace

OUT = "This column cannot take the history in and sits out: {}"
ABSENT = "(not asked in this column)"
COUNT_EVERY = 200  # messages between two reports while tokens are counted


def count_tokens(workspace: Workspace, transcript: Transcript) -> Iterator[int]:
    """Count the tokens of every message into workspace.token_counts; yields the number of messages done."""
    counts: list[int] = []
    workspace.token_counts = counts
    for message in transcript.messages:
        counts.append(len(workspace.model.chat.message(message["role"], message["content"])))
        if len(counts) % COUNT_EVERY == 0:
            yield len(counts)


def write(workspace: Workspace, transcript: Transcript) -> Generator[tuple[int, int], None, None]:
    """Preload `transcript` into every column; yields (done, total) tokens. Stopped or failed: all as before.

    Columns whose memory reads the same get it by branching. A column that cannot take it in says so and stays behind;
    when none can, that is raised.
    """
    columns = [column for column in workspace.arms.values() if column.done == len(workspace.steps)]
    groups = _groups(workspace, columns)
    read = sum(group[0].arm.memory for group in groups)  # the others only note it down
    loaded: list[Session] = []
    refused: dict[str, str] = {}
    try:
        for index, (first, *others) in enumerate(groups):
            try:
                for done, total in _preload(workspace, first.real, transcript):
                    yield index * total + done, read * total
                loaded.append(first.real)
            except SessionError as error:
                refused.update({column.arm.key: str(error) for column in (first, *others)})
        if refused and len(refused) == len(columns):
            raise SessionError(next(iter(refused.values())))
    except BaseException:
        for session in loaded:
            session.undo()
        raise
    for first, *others in groups:
        if first.arm.key in refused:
            for column in (first, *others):
                column.failure = OUT.format(refused[column.arm.key])
            continue
        _adopt(first, first.real)
        for column in others:
            arm = column.arm
            _adopt(column, first.real.branch(arm.context, arm.recent_turns, arm.passages))
    workspace.steps.append(transcript)


def catch_up(workspace: Workspace, columns: list[Column], replay: bool) -> Generator[tuple[int, int], None, None]:
    """Bring columns that are behind through the steps that they have not seen: history is written, questions asked.

    Without replay the questions stand in the chat as not asked.
    Yields (done, total) in thousandths of a step. When stopped, the columns are of no use. A column that cannot take
    history in says why and stays behind; one that has no room for a question goes on without it.
    """
    steps, kept = workspace.steps, []
    parts = [(column, number) for column in columns for number in range(column.done, len(steps))]
    for index, (column, number) in enumerate(parts):
        step = steps[number]
        if column.done < number:
            continue  # it could not take an earlier step
        try:
            for share in _take(workspace, column, step, replay):
                yield int(1000 * (index + share)), 1000 * len(parts)
            if isinstance(step, Turn) and replay:
                kept.append((step, column.arm.key))
        except SessionError as error:
            if isinstance(step, Transcript):
                column.failure = OUT.format(error)
                continue
            column.failure = str(error)
        column.done += 1
    for turn, key in kept:
        turn.kept.add(key)


def _adopt(column: Column, session: Session) -> None:
    """Give a column a conversation that has gone on; a control stays on, over a fresh copy of it."""
    column.done += 1
    if column.control:
        column.control.session = session
        column.session = column.control.make(session)
    else:
        column.session = session


def written_tokens(workspace: Workspace) -> int:
    """Tokens of history in a memory; 0 when no column has one."""
    return workspace.memory.real.stats()["history_written_tokens"] if workspace.memory else 0


def _groups(workspace: Workspace, columns: list[Column]) -> list[list[Column]]:
    """Columns that can share one writing: same memory, and nothing but the same history read so far.

    The ones with a memory come first: what fails then has cost the others nothing.
    """
    groups: dict[object, list[Column]] = {}
    for column in sorted(columns, key=lambda column: not column.arm.memory):
        arm = column.arm
        if arm.memory and arm.context != "full" and not workspace.turns:
            key = (arm.adapter or workspace.model.adapter_name, arm.strength, arm.layers_off)
        else:
            key = arm.key
        groups.setdefault(key, []).append(column)
    return list(groups.values())


def _take(workspace: Workspace, column: Column, step: Turn | Transcript, replay: bool) -> Iterator[float]:
    """One step of the workspace in one column; yields the share that is done."""
    yield 0.0
    if isinstance(step, Transcript):
        for done, total in _preload(workspace, column.session, step):
            yield done / max(total, 1)
        return
    column.stats = None
    column.chat = [*column.chat, said("user", step.question), said("assistant", "" if replay else ABSENT)]
    if not replay:
        return
    column.session.check_room(step.question)
    with closing(
        workspace.device.run("answers", [column.session], workspace.stop, step.question, step.sampling)
    ) as events:
        for _, event in events:
            column.stats = event.stats or column.stats
            yield 0.0
    if workspace.stop.is_set():
        raise Stopped
    column.chat = [*column.chat[:-1], said("assistant", column.session.messages[-1]["content"])]


def _preload(workspace: Workspace, session: Session, transcript: Transcript) -> Generator[tuple[int, int], None, None]:
    with closing(workspace.device.run("preload", [session], workspace.stop, transcript.messages)) as steps:
        yield from steps
