"""Running recall probes on copies of a page's columns, with controls beside them when wanted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from deltamem.compare.arms import with_control
from deltamem.compare.probes import Probe, ProbeResults

from .background import Stopped
from .workspace import Workspace

BESIDE = ("zero", "other", "shuffled")  # the controls that are run beside every column with memory


def probe(
    workspace: Workspace, probes: list[Probe], controls: bool, other: list[dict], limit: int, **sampling
) -> Generator[tuple[int, int], None, ProbeResults]:
    """Ask `probes` of every column as it stands, and, with controls, of spoilt copies; yields (done, total) probes.

    other: messages of another transcript, for the control of that name. limit: tokens of an answer. The page may go
    on answering meanwhile. A column that could not take the history in is not asked. When stopped, the results hold
    what was finished; Stopped is raised when that is nothing.
    """
    with workspace.claim():
        able = [column for column in workspace.arms.values() if column.done == len(workspace.steps)]
        arms = {column.now.key: (column.now, column.session.branch()) for column in able}
    device, stop = workspace.device, workspace.probing.stop
    for arm, session in list(arms.values()) if controls else ():
        for name in BESIDE if arm.memory and not arm.control else ():
            spoilt, copy = with_control(arm, name), session.branch()
            for _ in device.run("spoil", [copy], stop, name, other, ()):
                yield 0, len(probes)
            arms[spoilt.key] = (spoilt, copy)
    titles = {key: arm.title for key, (arm, _) in arms.items()}
    settings = {"max_new_tokens": limit, **sampling}
    sessions = [session for _, session in arms.values()]
    with closing(device.run("probes", sessions, stop, titles, probes, settings)) as steps:
        for step in steps:
            if isinstance(step, ProbeResults):
                if not step.asked:
                    raise Stopped
                return step
            yield step
