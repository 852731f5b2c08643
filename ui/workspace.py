"""One visitor's page: the columns that are compared, their chats, and what all of them were given, step by step."""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deltamem.compare.arms import PRESETS, Arm, make_session
from deltamem.compare.probes import Probe, ProbeResults
from deltamem.runtime import Session
from deltamem.transcripts import Transcript

from .jobs import Device

FEWEST, MOST = 2, 4  # columns
START = ("base", "memory")


class Busy(Exception):
    """The page is already at work."""


class Work:
    """One kind of work that a page does one at a time, and its stop button. busy: what a second one is told."""

    def __init__(self, busy: str):
        self.stop = threading.Event()
        self._busy, self._lock = busy, threading.Lock()

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold it; raises Busy when the one before is not done."""
        if not self._lock.acquire(blocking=False):
            raise Busy(self._busy)
        try:
            self.stop.clear()
            yield
        finally:
            self._lock.release()


@dataclass
class Control:
    """A negative control of a column.

    name: as in deltamem.compare.controls; arm: the column's arm with the control in it. session: the column's real
    conversation, which the control does not touch; make: gives a copy of it with the control on.
    """

    name: str
    arm: Arm
    session: Session
    make: Callable[[Session], Session]


@dataclass
class Column:
    """One arm: its session, what its chat shows and the stats of the last answer (None: nothing to show).

    A chat message may carry a "tag", the control it was answered under. failure: why the last question got no answer
    here. done: how many of the workspace's steps this column has been through.
    """

    arm: Arm
    session: Session
    chat: list[dict] = field(default_factory=list)
    stats: dict | None = None
    failure: str | None = None
    control: Control | None = None
    done: int = 0

    @property
    def real(self) -> Session:
        """The conversation itself, whatever control is on."""
        return self.control.session if self.control else self.session

    @property
    def now(self) -> Arm:
        """The arm that answers now: with its control, when one is on."""
        return self.control.arm if self.control else self.arm

    @property
    def warning(self) -> str | None:
        """What is spoilt, in a few words: "zero state"."""
        return self.now.chips[-1].removeprefix("control: ") if self.control else None


@dataclass
class Turn:
    """A question with how its answers were drawn.

    kept: the columns whose conversation has it. aside: those that answered it on a copy, with the control they had on.
    """

    question: str
    kept: set[str]
    aside: dict[str, Control] = field(default_factory=dict)
    sampling: dict = field(default_factory=dict)


class Workspace:
    """The state behind one open page. Everything that changes its columns does so inside `claim`.

    device: where the model's work is done. probing, reporting: work on copies of the columns, which goes on while they
    answer.
    """

    def __init__(self, model, device: Device | None = None):
        self.model = model
        self.device = device or Device(model)
        self.known: dict[str, Arm] = dict(PRESETS)  # all arms that can be chosen: presets and those made by hand
        self.arms: dict[str, Column] = {key: self.new_column(PRESETS[key]) for key in START}  # those shown, in order
        self.shelf: dict[str, Column] = {}  # those that were shown before, with their conversations
        self.transcript: Transcript | None = None  # what was uploaded last
        self.token_counts: list[int] = []  # tokens of each of its messages
        self.probes: list[Probe] = []  # those that belong to the transcript
        self.other: Transcript | None = None  # an upload whose state the control "other" takes
        self.lent = ""  # what the transcript is called whose state that control took last
        self.steps: list[Turn | Transcript] = []  # what was written and asked, in order
        self.failed: str | None = None  # the question of a turn that ended in an error
        self.seen = False  # whether the memory was shown yet
        self.answering = Work("This page is still at work: wait for it, or press Stop or Cancel first.")
        self.reading = Work("Another file is still being read: wait a moment.")
        self.probing = Work("The probes are still running: wait for them, or press Cancel beside Run.")
        self.reporting = Work("A report is still being written: wait for it.")
        self.results: ProbeResults | None = None  # of the last probes
        self._folder: tempfile.TemporaryDirectory | None = None
        self.closed = False

    @property
    def turns(self) -> list[Turn]:
        return [step for step in self.steps if isinstance(step, Turn)]

    @property
    def histories(self) -> list[Transcript]:
        """What was written, in order."""
        return [step for step in self.steps if isinstance(step, Transcript)]

    @property
    def memories(self) -> dict[str, Column]:
        """The shown columns that have a memory."""
        return {key: column for key, column in self.arms.items() if column.arm.memory}

    @property
    def memory(self) -> Column | None:
        """The first column with a memory."""
        return next(iter(self.memories.values()), None)

    @property
    def stop(self) -> threading.Event:
        """Ends what the columns are doing."""
        return self.answering.stop

    @property
    def busy(self) -> bool:
        return any(work.busy for work in (self.answering, self.reading, self.probing, self.reporting))

    @property
    def unwritten(self) -> bool:
        """Whether the uploaded transcript waits to be written."""
        return self.transcript is not None and not any(self.transcript is one for one in self.histories)

    @property
    def folder(self) -> Path:
        """A private folder for files that are offered for download; made at first use, gone with the page.

        It lies where Gradio serves files from, under a name that nobody can guess: files from elsewhere would be
        copied there, under names that follow from their contents, and stay when the page is gone.
        """
        if self._folder is None:
            served = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir(), "gradio"))
            served.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(
                prefix=f"{secrets.token_urlsafe(24)}-", dir=served, ignore_cleanup_errors=True
            )
        return Path(self._folder.name)

    def claim(self):
        """Hold the columns for one piece of work; raises Busy when another one is not done."""
        return self.answering.claim()

    def new_column(self, arm: Arm) -> Column:
        """An empty column. Raises ArmError for settings that contradict each other."""
        return Column(arm, make_session(self.model, arm))

    def reset(self) -> None:
        """Empty memory, empty chats; what was uploaded stays at hand."""
        self.arms = {key: self.new_column(column.arm) for key, column in self.arms.items()}
        self.shelf, self.steps, self.failed, self.lent = {}, [], None, ""

    def close(self) -> None:
        """Stop what is running and remove the files."""
        self.closed = True
        for work in (self.answering, self.reading, self.probing, self.reporting):
            work.stop.set()
        if self._folder is not None:
            self._folder.cleanup()
