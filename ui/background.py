"""Long work in a thread of its own, so that a generator can report on it and stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")
Report = Callable[[int, int], None]
POLL_S = 0.15


class Stopped(Exception):
    """The work was asked to stop and did."""


def in_background(work: Callable[[Report], Result], stop: threading.Event) -> Generator[tuple[int, int], None, Result]:
    """Run work(report) in a thread; yield the last (done, total) it reported several times a second.

    Returns what work returns and raises what it raises. Once `stop` is set, the next report raises Stopped inside
    work. Closing the generator sets it and waits for the end.
    """
    latest = [(0, 0)]
    results: list[Result] = []
    errors: list[BaseException] = []
    finished = threading.Event()

    def report(done: int, total: int) -> None:
        latest[0] = (done, total)
        if stop.is_set():
            raise Stopped

    def run() -> None:
        try:
            results.append(work(report))
        except BaseException as error:  # raised again in the generator
            errors.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while not finished.wait(POLL_S):
            yield latest[0]
    finally:
        if not finished.is_set():
            stop.set()
        thread.join()
    if errors:
        raise errors[0]
    return results[0]
