"""Negative controls on a column: the same question to a memory that is spoilt. The conversation itself stays aside."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

from deltamem.compare.arms import with_control
from deltamem.runtime import Session

from .jobs import drain
from .workspace import Column, Control, Workspace


def put_on(
    workspace: Workspace, column: Column, name: str, other: list[dict], layers: tuple[int, ...]
) -> Generator[tuple[int, int], None, None]:
    """Let a column answer under the control `name`, "" for none; yields (done, total) tokens.

    other: messages of the other transcript. layers: numbers of the layers that do not steer. What is said under a
    control goes to a copy: taking it off gives the conversation back as it was. Raises DeltaMemError for settings that
    do not fit the column; nothing has changed then, nor when stopped.
    """
    real, device, stop = column.real, workspace.device, workspace.stop
    if not name:
        column.session, column.control = real, None
        return
    arm = with_control(column.arm, name, layers if name == "layers-off" else ())
    copy = real.branch()
    with closing(device.run("spoil", [copy], stop, name, other, arm.layers_off)) as steps:
        yield from steps
    borrowed = copy.snapshots[-1]

    def again(session: Session) -> Session:
        changed = session.branch()
        if name == "other":  # its transcript need not be read again
            changed.replace_states(borrowed.states, borrowed.label)
        else:
            drain(device.run("spoil", [changed], threading.Event(), name, None, arm.layers_off))
        return changed

    column.control = Control(name, arm, real, again)
    column.session = copy
