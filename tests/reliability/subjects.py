"""A small real model, with sessions, adapters and pages of it, for tests and commands that break things."""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from deltamem.core import HFDeltaMemConfig, new_adapter, write_adapter
from deltamem.runtime import Session, load_model
from deltamem.tools.bench.subjects import GEOMETRIES, make_subject
from tests.conftest import make_tiny_model

CONFIG = HFDeltaMemConfig(rank=2, target_layers=(1, 3), delta_heads=("o",))
HISTORY = [{"role": "user", "content": "My dog is called Rex."}, {"role": "assistant", "content": "Hello Rex!"}]


def make_model(folder):
    """The tiny model with a random adapter, read from disk. folder: where both are written."""
    torch.set_num_threads(1)
    folder = Path(folder)
    make_tiny_model(folder / "tiny")
    model = load_model(folder / "tiny", adapter=None, device="cpu")
    torch.manual_seed(1)
    adapter = new_adapter(model.backbone, CONFIG)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.3)
    write_adapter(adapter, folder / "adapter")
    model.add_adapter("TSW", folder / "adapter")
    return model


class Letters:
    """The chat of a model with random weights, which has no tokenizer: bytes go in, numbers come out."""

    start, reply_header, reply_footer = [], [1], [2]
    stop_ids = control_ids = frozenset()

    def message(self, role, content):
        return [*role.encode()[:1], *self.text(content), *self.reply_footer]

    def text(self, content):
        return list(content.encode())

    def decode(self, ids):
        return " ".join(map(str, ids))

    def stream(self):
        return self

    def push(self, token_id):
        return f"{token_id} "

    def flush(self):
        return ""


def make_random(name, device=None, layers=None):
    """One of the benchmark's geometries with random weights, made on the device; also what load_model takes."""
    model = make_subject(name, device, None, layers)
    if name in GEOMETRIES:
        model.chat = Letters()
    return model


def make_session(model, questions=("Who is Rex?",)):
    """A session with history and an answer to each question."""
    session = Session(model)
    session.preload(HISTORY)
    for question in questions:
        session.ask(question, max_new_tokens=3)
    return session


def machine():
    """What times depend on, in a line: "2026-11-26, 2 cores, load 0.3, PyTorch 2.13.0 with 1 threads"."""
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    torch_says = f"PyTorch {torch.__version__} with {torch.get_num_threads()} threads"
    return ", ".join([time.strftime("%Y-%m-%d"), f"{os.cpu_count()} cores", load, torch_says])


def in_threads(work, numbers):
    """work(number) for each number, all at the same time: the results in order. Raises what one of them raised."""
    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(work, numbers))


@contextmanager
def tiny_model():
    """(model, folder) in a temporary folder; the adapter lies in folder/adapter."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_model(folder), Path(folder)
