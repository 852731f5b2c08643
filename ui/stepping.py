"""Going back to an earlier step: a session as it was then, to be kept or gone on with."""

from __future__ import annotations

from deltamem.runtime import Session


def branch_at(session: Session, label: str) -> Session:
    """A copy of a session as it was after the step whose snapshot has this label. The session stays as it is."""
    copy = session.branch()
    while copy.snapshots[-1].label not in (label, "start"):
        copy.undo()
    return copy
