"""The pages that are open: one workspace each, in memory, found by an unguessable id, limited in number and age.

Gradio's own state is copied and outlives what it should; it holds the id only.
"""

from __future__ import annotations

import secrets
import threading
import time
import weakref
from collections.abc import Callable

from deltamem.runtime.heap import trim

from .workspace import Workspace

LIMIT = 64  # pages


class Gone(Exception):
    """The id is not, or no longer, known."""


class Full(Exception):
    """All places are taken by pages that are at work."""


class Registry:
    """Workspaces by id.

    make: builds a workspace. limit: how many are kept; the one unused for longest gives way. idle_s: seconds after
    which an unused one is dropped. clock: seconds that only go forward.
    """

    def __init__(
        self,
        make: Callable[[], Workspace],
        limit: int = LIMIT,
        idle_s: float = 2 * 3600,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._make, self._limit, self._idle_s, self._clock = make, limit, idle_s, clock
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Workspace, float]] = {}
        self._pages: dict[str, str] = {}  # Gradio's page hash -> id, for the unload event

    def __len__(self) -> int:
        return len(self._places)

    def open(self, page: str | None = None) -> str:
        """A new workspace's id. page: what `close_page` will name. Raises Full."""
        workspace = self._make()
        key = secrets.token_urlsafe(24)
        with self._lock:
            dropped = self._sweep()
            free = [name for name, (other, _) in self._places.items() if not other.busy]
            if len(self._places) >= self._limit:
                if not free:
                    raise Full(f"All {self._limit} places are taken by pages at work: try again in a minute.")
                dropped.append(self._remove(min(free, key=lambda name: self._places[name][1])))
            self._places[key] = (workspace, self._clock())
            if page:
                self._pages[page] = key
        _close(dropped)
        return key

    def get(self, key: str | None) -> Workspace:
        """The workspace of an id, which counts as its use. Raises Gone."""
        if key is None:
            raise Gone(
                "The page is still loading, or lost its connection: try again in a second, or reload it to start anew."
            )
        with self._lock:
            dropped = self._sweep(keep=key)
            found = self._places.get(key)
            if found:
                self._places[key] = (found[0], self._clock())
        _close(dropped)
        if not found:
            raise Gone(
                "This page was unused for so long that its session was dropped: reload the page to start anew, and "
                "load the session’s file if you saved it."
            )
        return found[0]

    def sweep(self) -> None:
        """Drop what is unused for too long, as every use of the registry does."""
        with self._lock:
            dropped = self._sweep()
        _close(dropped)

    def sweep_every(self, seconds: float) -> threading.Thread:
        """Sweep also while nobody uses the registry, for as long as there is one: the thread that does.

        It gives back the memory of all pages that were closed, too.
        """
        wake, here = threading.Event(), weakref.ref(self, lambda _: wake.set())

        def run():
            while not wake.wait(seconds):
                if registry := here():
                    registry.sweep()
                del registry
                trim()

        sweeper = threading.Thread(target=run, name="sweeper", daemon=True)
        sweeper.start()
        return sweeper

    def close_page(self, page: str) -> None:
        """Drop the workspace that was opened for a page; unknown pages are ignored."""
        with self._lock:
            key = self._pages.get(page)
            dropped = [self._remove(key)] if key in self._places else []
            self._pages.pop(page, None)
        _close(dropped)

    def _sweep(self, keep: str | None = None) -> list[Workspace]:
        now = self._clock()
        old = [
            key
            for key, (workspace, used) in self._places.items()
            if key != keep and now - used > self._idle_s and not workspace.busy
        ]
        return [self._remove(key) for key in old]

    def _remove(self, key: str) -> Workspace:
        self._pages = {page: name for page, name in self._pages.items() if name != key}
        return self._places.pop(key)[0]


def _close(workspaces: list[Workspace]) -> None:
    for workspace in workspaces:
        workspace.close()
