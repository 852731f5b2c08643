"""Running recall probes on copies of a page's columns, with controls beside them when wanted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from deltamem.compare.arms import Arm, with_control
from deltamem.compare.probes import Probe, ProbeResults

from .background import Stopped
from .workspace import Workspace

STAYED = "still right with a spoilt state: {}, which did not come from this memory."
WENT = "none of them stays right with a spoilt state, so they came from the memory."
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


def reading(results: ProbeResults, arms: list[Arm]) -> list[str]:
    """What the numbers say, in sentences: who knew most, and what the controls say of each memory. arms: as asked."""
    known = {arm.key: _right(results, arm.key) for arm in arms if arm.key in results.titles}
    most = max(map(len, known.values()), default=0)
    if not most:
        return ["No column knew an accepted answer."]
    first = [results.titles[key] for key, right in known.items() if len(right) == most]
    sentences = [f"Most right: {' and '.join(first)}, {most} of {results.asked}."]
    for arm in arms:
        if not arm.memory or arm.control or not known.get(arm.key):
            continue
        beside = [key for name in BESIDE if (key := with_control(arm, name).key) in results.titles]
        if beside:
            stayed = len(known[arm.key] & set().union(*(_right(results, key) for key in beside)))
            verdict = STAYED.format(stayed) if stayed else WENT
            sentences.append(f"{arm.title}: {len(known[arm.key])} of {results.asked} right; {verdict}")
    return sentences


def _right(results: ProbeResults, key: str) -> set[int]:
    """The numbers of the probes that an arm answered right, among those that all answered."""
    return {number for number, answer in enumerate(results.answers[key][: results.asked]) if answer.contains}
