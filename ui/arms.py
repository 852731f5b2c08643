"""Which columns are shown: choosing among known arms, making one by hand. No conversation is ever dropped."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from deltamem.compare.arms import make_arm
from deltamem.compare.errors import ArmError

from .history import catch_up
from .workspace import FEWEST, MOST, Column, Workspace

SIGHTS = {
    "none": "the question only",
    "recent": "recent turns",
    "rag": "retrieved passages",
    "full": "everything",
}


def choose(workspace: Workspace, keys: list[str], replay: bool = True) -> Generator[tuple[int, int], None, None]:
    """Show the arms `keys`, in the order in which they are known; yields (done, total) of the way.

    A column that goes is kept with its conversation and comes back with it; one that is new, or was away, is first
    brought through the history and, with replay, the questions that it has not seen. Raises ArmError for too few or
    too many; when stopped or failed, the columns are as they were.
    """
    if not FEWEST <= len(keys) <= MOST:
        raise ArmError(
            f"A comparison has from {FEWEST} to {MOST} columns, not {len(keys)}: choose another one, or take one away."
        )
    kept = {**workspace.shelf, **workspace.arms}
    chosen: dict[str, Column] = {}
    for key in (key for key in workspace.known if key in keys):
        column = kept.get(key) or workspace.new_column(workspace.known[key])
        if key not in workspace.arms:
            column = _copy(column)
        chosen[key] = column
    behind = [column for key, column in chosen.items() if key not in workspace.arms]
    yield from catch_up(workspace, behind, replay)
    workspace.shelf = {key: column for key, column in kept.items() if key not in chosen}
    workspace.arms = chosen


def make(workspace: Workspace, **settings) -> str:
    """Make an arm known; returns its key. settings: as deltamem.compare.arms.make_arm takes them. Raises ArmError."""
    if settings.get("adapter") == workspace.model.adapter_name:
        settings["adapter"] = None  # as the presets say it
    arm = make_arm(**settings)
    workspace.new_column(arm)  # refuses what the model cannot honour
    for key, known in workspace.known.items():
        if replace(arm, key=key, title=known.title) == known:
            return key
    workspace.known[arm.key] = arm
    return arm.key


def _copy(column: Column) -> Column:
    """A column that can be worked on without changing the one it is of."""
    return replace(column, session=column.real.branch(), control=None, chat=list(column.chat))
