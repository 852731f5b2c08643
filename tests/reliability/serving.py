"""The real app in a process of its own, on the tiny model, and plain HTTP clients for it."""

import json
import queue
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
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


def served(place, *options):
    """A page for the tiny model in place/tiny and place/adapter."""
    return served_model("--base", str(place / "tiny"), "--adapter", str(place / "adapter"), "--device", "cpu", *options)


@contextmanager
def served_model(*options):
    """The page of app.py with these options; no error of the project may be in its log."""
    process = subprocess.Popen(
        [sys.executable, "-u", "app.py", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines, said = queue.Queue(), []

    def read():
        for line in process.stdout:
            said.append(line)
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while not (line := lines.get(timeout=START_S) or "").startswith("δ-mem playground:"):
            assert line, "app.py ended before it was ready: " + "".join(said)
        yield Served(line.split()[-1].rstrip("/"), process.pid)
    finally:
        process.terminate()
        process.wait(timeout=60)
        reader.join(60)
        # Gradio logs its own refusals with tracebacks; none may pass through the project's code.
        ours = [text for text in "".join(said).split("Traceback")[1:] if f'File "{ROOT}' in text]
        assert not ours, ours[0]


def client(address, user=None):
    """An HTTP client; user: (name, password) to log in with."""
    one = httpx.Client(base_url=address, timeout=600, follow_redirects=False)
    if user:
        answer = one.post("/login", data={"username": user[0], "password": user[1]})
        assert answer.status_code == 200, answer.text
    return one


def event(config, target, kind=None):
    """Index of the event that a component starts first. config: the page's; target: the component's elem_id."""
    number = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == target)
    return next(
        index for index, starts in started(config) if any(t[0] == number and kind in (None, t[1]) for t in starts)
    )


def opening(config):
    """Index of the event with which a page opens."""
    return next(index for index, starts in started(config) if any(kind == "load" for _, kind in starts))


def started(config):
    """(index, what starts it) of every event of a page; functions for scripts are started by nothing on it."""
    return [(one["id"], one["targets"]) for one in config["dependencies"]]


def messages(one, index, data, page):
    """What an event answers with, as a browser gets it; a refusal by the queue is one message "refused"."""
    body = {"data": data, "fn_index": index, "session_hash": page, "event_data": None, "trigger_id": None}
    answer = one.post("/gradio_api/queue/join", json=body)
    if answer.status_code != 200:
        yield {"msg": "refused", "status": answer.status_code, "detail": answer.text}
        return
    wanted = answer.json()["event_id"]
    with one.stream("GET", "/gradio_api/queue/data", params={"session_hash": page}) as lines:
        for line in lines.iter_lines():
            if line.startswith("data:"):
                message = json.loads(line[5:])
                yield message
                ended = message["msg"] == "process_completed" and message["event_id"] == wanted
                if ended or message["msg"] == "close_stream":
                    return


def join(one, index, data, page=None):
    """Start an event as a browser does: (HTTP status, the messages it answers with)."""
    found = list(messages(one, index, data, page or uuid.uuid4().hex))
    return found[0].get("status", 200), found


class Visitor:
    """A page that is open in somebody's browser, as the server sees it. name: what the browser calls the page."""

    def __init__(self, address, config):
        self.config, self.name = config, uuid.uuid4().hex
        self.client = client(address)
        self._line = HTTPConnection(address.removeprefix("http://"), timeout=60)
        self._line.request("GET", f"/gradio_api/heartbeat/{self.name}")
        self._heart = self._line.getresponse()
        self._heart.readline()  # the server knows the page from now on, and until this connection ends
        join(self.client, opening(config), [], self.name)

    def inputs(self, index, changes):
        """What an event is sent: the components' values at the start, and changes by elem_id."""
        components = {one["id"]: one["props"] for one in self.config["components"]}
        numbers = next(one["inputs"] for one in self.config["dependencies"] if one["id"] == index)
        return [changes.get(components[n].get("elem_id"), components[n].get("value")) for n in numbers]

    def messages(self, index, inputs):
        """What an event answers with."""
        return messages(self.client, index, inputs, self.name)

    def leave(self):
        """Close the tab."""
        self._heart.close()
        self._line.close()


def press(visitor, index, changes=None):
    """The messages of one event of a visitor's page."""
    return join(visitor.client, index, visitor.inputs(index, changes or {}), visitor.name)[1]
