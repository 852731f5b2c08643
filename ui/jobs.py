"""The work that needs the model's device, each job a generator over sessions that it changes in place.

With a GPU of our own, or none, jobs run where they are called. On Hugging Face ZeroGPU a GPU is lent for one call, in a
forked process that gets copies: there the sessions travel as plain values with their states as CPU arrays, and what
comes back is taken over. That way was tried with a stand-in that copies everything as ZeroGPU does, not on ZeroGPU.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

from deltamem.compare.api import Api
from deltamem.compare.controls import apply
from deltamem.compare.integrity import check_model
from deltamem.compare.probes import run_probes
from deltamem.compare.report import write_report
from deltamem.runtime.heap import trim
from deltamem.runtime.portable import pack, take_over, unpack
from deltamem.runtime.together import reply_together

from .background import in_background

LONGEST_S = 120  # for which a GPU is asked for


def answers(model, sessions, stop, text: str, sampling: dict) -> Iterator:
    """(index, Event) of all sessions' answers; a stop settles what was said."""
    with closing(reply_together(sessions, text, **sampling)) as events:
        while not stop.is_set() and (step := next(events, None)):
            yield step


def preload(model, sessions, stop, messages: list[dict]) -> Iterator:
    """(done, total) tokens while history is written into the one session."""
    yield from in_background(partial(sessions[0].preload, messages), stop)


def spoil(model, sessions, stop, control: str, other: list[dict] | None, layers: tuple[int, ...]) -> Iterator:
    """(done, total) tokens while the one session is put under a control."""
    yield from in_background(lambda report: apply(sessions[0], control, other, layers, progress=report), stop)


def probes(model, sessions, stop, titles: dict[str, str], asked: list, settings: dict) -> Iterator:
    """(done, total) probes, then their ProbeResults. titles: of the sessions, by key, in their order."""
    by_key = dict(zip(titles, sessions, strict=True))

    def work(report):
        def told(done, total):
            if not stop.is_set():  # what is finished is returned then
                report(done, total)

        return run_probes(by_key, asked, titles, told, stop.is_set, **settings)

    yield (yield from in_background(work, stop))


def check(model, sessions, stop, label: str) -> Iterator:
    """The Findings on an adapter."""
    yield check_model(model, label)


def report(model, sessions, stop, path: str, arms: list, settings: dict) -> Iterator:
    """(done, total) figures while the report on the sessions, one for each arm, is written to `path`."""
    by_key = {arm.key: session for arm, session in zip(arms, sessions, strict=True)}
    yield from in_background(lambda told: write_report(path, arms, by_key, **settings, progress=told), stop)


def trace(model, sessions, stop, label: str) -> Iterator:
    """The Trace of one step of the one session."""
    yield sessions[0].trace(label)


def call(model, sessions, stop, name: str, arguments: dict) -> Iterator:
    """What a function of deltamem.compare.api returns; it needs no session of a page."""
    yield getattr(Api(model), name)(**arguments)


JOBS: dict[str, Callable[..., Iterator]] = {
    job.__name__: job for job in (answers, preload, spoil, probes, check, report, trace, call)
}


class Device:
    """Where jobs run: here, or on a GPU that `lend` (spaces.GPU) lends."""

    def __init__(self, model, lend: Callable | None = None):
        self.model = model
        self._away = lend(self._work, duration=LONGEST_S) if lend else None

    def run(self, job: str, sessions: list, stop: threading.Event, *arguments) -> Iterator:
        """What the job yields. Closing this generator stops the job and settles the sessions."""
        if self._away is None:
            try:
                with closing(JOBS[job](self.model, sessions, stop, *arguments)) as steps:
                    yield from steps
            finally:
                trim()  # what was computed for an answer would stay in the heap of the thread that ran the job
            return
        handle, path = tempfile.mkstemp(prefix="deltamem-stop-")
        os.close(handle)  # the file's end is the signal: processes share no event
        came = self._away(job, [pack(session) for session in sessions], path, arguments)
        try:
            for item in came:
                if stop.is_set():
                    _end(path)
                if item[0] == "step":
                    yield item[1]
                elif error := _settle(sessions, item):
                    raise error
        except GeneratorExit:
            _end(path)
            for item in came:
                if item[0] == "end":
                    _settle(sessions, item)
            raise
        finally:
            _end(path)

    def _work(self, job: str, packed: list[dict], path: str, arguments: tuple) -> Iterator[tuple]:
        """In the other process: ("step", what the job yields) …, then ("end", sessions, error or None)."""
        sessions, error = [unpack(self.model, one) for one in packed], None
        try:
            with closing(JOBS[job](self.model, sessions, Signal(path), *arguments)) as steps:
                for step in steps:
                    yield "step", step
        except Exception as failure:  # raised again on the other side
            error = failure
        yield "end", [pack(session) for session in sessions], error


class Signal:
    """A stop event for another process: set when its file is gone."""

    def __init__(self, path: str):
        self.path = path

    def is_set(self) -> bool:
        return not os.path.exists(self.path)

    def set(self) -> None:
        _end(self.path)


def _settle(sessions: list, item: tuple) -> Exception | None:
    """Take the sessions over as they come back; returns the error that ended the job, if any."""
    _, packed, error = item
    for session, one in zip(sessions, packed, strict=True):
        take_over(session, one)
    return error


def _end(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def drain(steps: Iterator) -> object:
    """Run a job to its end; returns the last thing that it yields."""
    last = deque(steps, maxlen=1)
    return last[0] if last else None
