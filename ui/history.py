"""Giving the arms their history, and giving it again to a new memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from deltamem.transcripts import Transcript

from .background import Report, in_background
from .workspace import Workspace

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
    """Preload `transcript` into every arm; yields (done, total) tokens. Stopped or failed: all arms as before."""

    def work(report: Report) -> None:
        loaded = []
        try:
            # The slow ones first: what fails then has cost the others nothing.
            for arm in sorted(workspace.arms.values(), key=lambda arm: not arm.kind.memory):
                arm.session.preload(transcript.messages, progress=report)
                loaded.append(arm.session)
        except BaseException:
            for session in loaded:
                session.undo()
            raise

    yield from in_background(work, workspace.stop)
    workspace.histories = [*workspace.histories, transcript]


def switch_adapter(workspace: Workspace, adapter: str) -> Generator[tuple[int, int], None, None]:
    """A new memory of another adapter with the same history written again; both columns start over.

    Yields (done, total) tokens. Stopped or failed: everything as before.
    """
    arm = workspace.memory
    session = workspace.new_session(arm.kind, adapter)
    others = {key: workspace.new_session(one.kind) for key, one in workspace.arms.items() if one is not arm}

    def work(report: Report) -> None:
        for transcript in workspace.histories:
            session.preload(transcript.messages, progress=report)
            for other in others.values():
                other.preload(transcript.messages)

    yield from in_background(work, workspace.stop)
    arm.session = session
    for key, other in others.items():
        workspace.arms[key].session = other
    workspace.adapter = adapter
    workspace.forget_turns()


def written_tokens(workspace: Workspace) -> int:
    """Tokens of history in the memory."""
    return workspace.memory.session.stats()["history_written_tokens"]
