"""Saves that are killed: the file is the old or the new one afterwards, never neither.

    python -m tests.reliability.kill --times 200        # the figures of tests/RELIABILITY.md

Each time a real process saves over a sound file and is ended by SIGKILL at a random moment of the save.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from deltamem.runtime import Session
from tests.reliability.subjects import make_session, tiny_model
from ui.bundle import load_page, save_page
from ui.workspace import Workspace

QUESTIONS = ("Who is Rex?", "And the sea?")


class Saved:
    """Two sessions of different length, and how one of them is saved and read. big: messages of history in both."""

    def __init__(self, model, folder, big):
        self.model, self.path = model, Path(folder) / "session.safetensors"
        self.sessions = [make_session(model, QUESTIONS[:turns]) for turns in (1, 2)]
        for session in self.sessions:
            session.preload([{"role": "user", "content": "The sea is wide. " * 20}] * big)

    def save(self, which):
        self.sessions[which].save(self.path)

    def read(self):
        """Turns of the session in the file: 1 for the old one, 2 for the new one."""
        return Session.load(self.model, self.path).stats()["turns"]


class SavedPage(Saved):
    """The same as pages."""

    def __init__(self, model, folder, big):
        super().__init__(model, folder, big)
        self.path = Path(folder) / "page.zip"
        self.pages = [Workspace(model) for _ in self.sessions]
        for page, session in zip(self.pages, self.sessions, strict=True):
            self.path.with_name("one").unlink(missing_ok=True)
            session.save(self.path.with_name("one"))
            load_page(page, self.path.with_name("one"))

    def save(self, which):
        save_page(self.pages[which], self.path)

    def read(self):
        page = Workspace(self.model)
        load_page(page, self.path)
        return len(page.turns)


def save_in_a_process(saved, delay=None):
    """Save the new over the old in a process of its own, killed after `delay` seconds unless None; seconds it ran."""
    began, begins = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:  # only this thread goes on in the child, so nothing waits for a lock of another one
        try:
            begins.send(True)
            saved.save(1)
        finally:
            os._exit(0)
    began.recv()
    begin = time.perf_counter()
    if delay is not None:
        while time.perf_counter() < begin + delay:
            pass
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return time.perf_counter() - begin


def kills(saved, times, seed=0):
    """{"old": n, "new": n, "left": files left behind}; raises when a file is neither."""
    dice, found = random.Random(seed), Counter()
    saved.save(0)
    old = saved.path.read_bytes()
    length = max(save_in_a_process(saved) for _ in range(3))
    for _ in range(times):
        saved.path.write_bytes(old)
        save_in_a_process(saved, dice.uniform(0, 1.3 * length))
        found["new" if saved.read() == 2 else "old"] += 1
    left = [path for path in saved.path.parent.iterdir() if path.name.startswith(".") or path.is_dir()]
    found["left"] = len(left)
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--big", type=int, default=200, help="messages of history in the session")
    options = parser.parse_args()
    with tiny_model() as (model, _):
        for kind in (Saved, SavedPage):
            with tempfile.TemporaryDirectory() as folder:
                saved = kind(model, folder, options.big)
                found = kills(saved, options.times)
                print(
                    f"| {saved.path.name}, {saved.path.stat().st_size:,} bytes | {options.times} kills | "
                    f"{found['old']} old, {found['new']} new, 0 neither | {found['left']} unfinished files left |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
