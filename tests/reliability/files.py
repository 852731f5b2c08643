"""Damaged files, counted: every truncation and many random mutations of each kind of file that is read.

    python -m tests.reliability.files --mutations 10000      # several minutes; the figures of tests/RELIABILITY.md

A damaged file must be refused by a typed error in one sentence, or mean exactly what it meant before (a changed time
stamp inside a ZIP); and a live session must never notice.
"""

import argparse
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np

from deltamem.core import AdapterError, ConfigError, adapter_hash, read_adapter
from deltamem.core.files import PICKLE_FILE, TENSOR_FILE
from deltamem.runtime import Session
from deltamem.runtime.errors import SessionFileError
from deltamem.transcripts import Transcript
from tests.reliability.subjects import HISTORY, make_session, tiny_model
from ui.bundle import load_page, save_page
from ui.history import write
from ui.record import BundleError
from ui.workspace import Workspace

LONGEST = 1500  # characters of a refusal: some name the tensors they are about
NUMBERS = (b"\x00" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\x01" + b"\x00" * 7)


def mutate(data, dice):
    """The bytes with one to eight random changes, never the same ones."""
    while True:
        changed = bytearray(data)
        for _ in range(dice.choice((1, 1, 1, 2, 8))):
            at, length = dice.randrange(len(changed) or 1), dice.randrange(1, 40)
            kind = dice.randrange(7)
            if kind == 0:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << dice.randrange(8)])
            elif kind == 1:
                changed[at : at + 1] = dice.choice(b'{}[]",:0-.eNP \\\x00\x80\xff').to_bytes(1, "little")
            elif kind == 2:
                del changed[at : at + length]
            elif kind == 3:
                changed[at:at] = dice.randbytes(length)
            elif kind == 4:
                changed[at:at] = changed[at : at + length]
            elif kind == 5:
                number = dice.choice(NUMBERS)
                changed[at : at + len(number)] = number
            else:
                changed[at : at + length] = dice.randbytes(length)
            if len(changed) < 8:
                changed += data[:8]
        if changed != data:
            return bytes(changed)


class Subject:
    """One kind of file. data: the sound bytes; read(bytes): what they mean, in a form that can be compared."""

    errors = ()

    def __init__(self, path, read):
        self.path, self.read_path = Path(path), read
        self.data = self.path.read_bytes()
        self.meaning = read()

    def outcome(self, data):
        """ "refused" or "unchanged"; anything else raises."""
        self.path.write_bytes(data)
        try:
            found = self.read_path()
        except self.errors as error:
            text = str(error)
            assert "\n" not in text and 20 < len(text) < LONGEST, text
            return "refused"
        assert found == self.meaning, "a damaged file was read as something else"
        return "unchanged"


class SessionSubject(Subject):
    errors = (SessionFileError,)


class AdapterSubject(Subject):
    errors = (AdapterError, ConfigError)


class PageSubject(Subject):
    errors = (BundleError, SessionFileError)


def meaning(session):
    """All that a session is, as values that can be compared."""
    states = [(s.label, s.states.tobytes(), s.beta.tobytes(), s.written_tokens) for s in session.snapshots]
    return session.messages, session.history, states, session.stats() | {"kv_bytes": 0}


def subjects(model, folder):
    """{kind: Subject} for the files of a model."""
    session = make_session(model)
    session.save(folder / "session.safetensors")
    ours, published = folder / "ours", folder / "published"
    for place, unwanted in ((ours, PICKLE_FILE), (published, TENSOR_FILE)):
        shutil.copytree(folder / "adapter", place)
        (place / unwanted).unlink()
    page = Workspace(model)
    for _ in write(page, Transcript(HISTORY, "test")):
        pass
    save_page(page, folder / "page.zip")

    def read_page():
        other = Workspace(model)
        load_page(other, folder / "page.zip")
        return [meaning(arm.session) for arm in other.arms.values()], [one.messages for one in other.histories]

    def hash_of(place):
        return lambda: adapter_hash(read_adapter(place, model.backbone))

    return {
        "session": SessionSubject(
            folder / "session.safetensors", lambda: meaning(Session.load(model, folder / "session.safetensors"))
        ),
        "adapter, safetensors": AdapterSubject(ours / TENSOR_FILE, hash_of(ours)),
        "adapter, configuration": AdapterSubject(ours / "delta_mem_config.json", hash_of(ours)),
        "adapter, published .pt": AdapterSubject(published / PICKLE_FILE, hash_of(published)),
        "page": PageSubject(folder / "page.zip", read_page),
    }


class Live:
    """A session at work while files are broken, and the model it stands on."""

    def __init__(self, model):
        self.model, self.session = model, make_session(model)
        self.before, self.adapters = meaning(self.session), dict(model.adapters)
        self.states = self.session.snapshots[-1].states.copy()

    def check(self, whole=False):
        assert self.model.adapters == self.adapters
        assert np.array_equal(self.session.snapshots[-1].states, self.states)
        if whole:
            assert meaning(self.session) == self.before
            assert self.session.branch().ask("Who?", max_new_tokens=3) == self.answer

    @property
    def answer(self):
        """What an undisturbed session answers."""
        return make_session(self.model).ask("Who?", max_new_tokens=3)


def damage(subject, live, every, mutations, seed=0):
    """Counts of outcomes: {"truncations": Counter, "mutations": Counter}. every: 1 tries each length."""
    dice, found = random.Random(seed), {"truncations": Counter(), "mutations": Counter()}
    for size in range(0, len(subject.data), every):
        found["truncations"][subject.outcome(subject.data[:size])] += 1
        live.check()
    for _ in range(mutations):
        found["mutations"][subject.outcome(mutate(subject.data, dice))] += 1
        live.check()
    subject.path.write_bytes(subject.data)
    live.check(whole=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1, help="try each n-th length")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "| file | bytes | truncations refused / unchanged | mutations refused / unchanged | s |\n|---|---|---|---|---|"
    )
    with tiny_model() as (model, folder):
        live = Live(model)
        for kind, subject in subjects(model, folder).items():
            begin = time.monotonic()
            found = damage(subject, live, options.every, options.mutations, options.seed)
            cells = [f"{found[name]['refused']:,} / {found[name]['unchanged']:,}" for name in found]
            seconds = time.monotonic() - begin
            print(f"| {kind} | {len(subject.data):,} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
