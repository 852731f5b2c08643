"""The real app in a process of its own, on the tiny model, and plain HTTP clients for it."""

import queue
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
START_S = 300


@dataclass
class Served:
    """A running page. peak: most bytes of memory that its process held so far. memory: those it holds now."""

    address: str
    pid: int

    def _status(self, name):
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    @property
    def peak(self):
        return self._status("VmHWM")

    @property
    def memory(self):
        return self._status("VmRSS")


@contextmanager
def served(place, *options, environment=None):
    """A page for the tiny model in place/tiny and place/adapter; no error of the project may be in its log."""
    command = [sys.executable, "-u", "app.py", "--base", str(place / "tiny"), "--adapter", str(place / "adapter")]
    process = subprocess.Popen(
        [*command, "--device", "cpu", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines, said = queue.Queue(), []

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        while not (said and said[-1].startswith("δ-mem playground:")):
            line = lines.get(timeout=START_S)
            assert line is not None, "app.py ended before it was ready: " + "".join(said)
            said.append(line)
        yield Served(said[-1].split()[-1].rstrip("/"), process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)
        while (line := lines.get(timeout=60)) is not None:
            said.append(line)
        # Gradio logs its own refusals with tracebacks; none may pass through the project's code.
        ours = [text for text in "".join(said).split("Traceback")[1:] if f'File "{ROOT}' in text]
        assert not ours, ours[0]


def client(address, user=None):
    """An HTTP client; user: (name, password) to log in with."""
    one = httpx.Client(base_url=address, timeout=60, follow_redirects=False)
    if user:
        answer = one.post("/login", data={"username": user[0], "password": user[1]})
        assert answer.status_code == 200, answer.text
    return one
