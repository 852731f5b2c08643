"""One visitor's page: the arms that are compared, their chats, and the history they were given."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deltamem.runtime import Session
from deltamem.transcripts import Transcript


class Busy(Exception):
    """The page is already at work."""


@dataclass(frozen=True)
class Kind:
    """What sets an arm apart: memory on or off, and what of the history stands in the prompt."""

    key: str
    title: str
    memory: bool
    context: str
    chips: tuple[str, ...]
    empty: str


ARMS = (
    Kind(
        "base",
        "Base",
        False,
        "none",
        ("memory off", "sees the question only"),
        "The frozen model answers here, from your question alone.",
    ),
    Kind(
        "memory",
        "δ-mem",
        True,
        "none",
        ("memory on", "sees the question only"),
        "The same model answers here, with its memory. The history is not in its prompt either.",
    ),
)


@dataclass
class Arm:
    """One column: its session, what its chat shows and the stats of the last answer (None: nothing to show)."""

    kind: Kind
    session: Session
    chat: list[dict] = field(default_factory=list)
    stats: dict | None = None


@dataclass
class Turn:
    """A question, and the arms whose session kept it (one that was stopped before its first word did not)."""

    question: str
    kept: set[str]


class Workspace:
    """The state behind one open page. Everything that works on it does so inside `claim`."""

    def __init__(self, model):
        self.model = model
        self.adapter = model.adapter_name
        self.arms = {kind.key: Arm(kind, self.new_session(kind)) for kind in ARMS}
        self.transcript: Transcript | None = None  # what was uploaded last
        self.token_counts: list[int] = []  # tokens of each of its messages
        self.histories: list[Transcript] = []  # what was written, in order
        self.turns: list[Turn] = []
        self.failed: str | None = None  # the question of a turn that ended in an error
        self.seen = False  # whether the memory was shown yet
        self.stop = threading.Event()
        self._work = threading.Lock()
        self._folder: tempfile.TemporaryDirectory | None = None
        self.closed = False

    @property
    def memory(self) -> Arm:
        """The arm whose memory is shown."""
        return next(arm for arm in self.arms.values() if arm.kind.memory)

    @property
    def busy(self) -> bool:
        return self._work.locked()

    @property
    def unwritten(self) -> bool:
        """Whether the uploaded transcript waits to be written."""
        return self.transcript is not None and not any(self.transcript is one for one in self.histories)

    @property
    def folder(self) -> Path:
        """A private folder for files that are offered for download; made at first use, gone with the page."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="deltamem-page-", ignore_cleanup_errors=True)
        return Path(self._folder.name)

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the page for one piece of work; raises Busy when another one is not done."""
        if not self._work.acquire(blocking=False):
            raise Busy("This page is still at work: wait for it, or press Stop or Cancel first.")
        try:
            self.stop.clear()
            yield
        finally:
            self._work.release()

    def new_session(self, kind: Kind, adapter: str | None = None) -> Session:
        chosen = {"adapter": adapter or self.adapter} if kind.memory else {}
        return Session(self.model, memory=kind.memory, context=kind.context, **chosen)

    def reset(self) -> None:
        """Empty memory, empty chats; what was uploaded stays at hand."""
        for arm in self.arms.values():
            arm.session.reset()
        self.forget_turns()
        self.histories = []

    def forget_turns(self) -> None:
        """Empty the columns. The sessions are the caller's business."""
        for arm in self.arms.values():
            arm.chat, arm.stats = [], None
        self.turns, self.failed = [], None

    def close(self) -> None:
        """Stop what is running and remove the files."""
        self.closed = True
        self.stop.set()
        if self._folder is not None:
            self._folder.cleanup()
