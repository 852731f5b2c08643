"""On a lent GPU: jobs get copies, in a worker that keeps nothing, and what comes back is what the page goes on with."""

import pickle

import numpy as np
import pytest
import torch

from deltamem.compare.probes import Probe
from deltamem.transcripts import Transcript
from ui.arms import choose
from ui.background import Stopped
from ui.control import put_on
from ui.history import write
from ui.integrity import Checks
from ui.jobs import Device
from ui.maps import Maps, Place
from ui.probing import probe
from ui.talk import take_back, talk
from ui.workspace import Workspace

CHAT = [{"role": "user", "content": "My dog is called Rex."}, {"role": "assistant", "content": "Hello Rex!"}]
SHORT = {"max_new_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0}


class Tensors(pickle.Pickler):
    """Refuses tensors that are not on the CPU: the other process has no right to the GPU."""

    def reducer_override(self, value):
        assert not isinstance(value, torch.Tensor) or value.device.type == "cpu"
        return NotImplemented


def copied(value):
    import io

    buffer = io.BytesIO()
    Tensors(buffer).dump(value)
    return pickle.loads(buffer.getvalue())


def lend(work, duration):
    """What spaces.GPU does to a generator: arguments and results are pickled, nothing else comes back."""

    def away(*arguments):
        for item in work(*copied(arguments)):
            yield copied(item)

    return away


@pytest.fixture
def away(model):
    workspace = Workspace(model, Device(model, lend))
    yield workspace
    workspace.close()


def run(steps):
    return list(steps)


def conversation(workspace):
    run(choose(workspace, ["base-full", "memory", "memory-rag", "memory-full"]))
    run(write(workspace, Transcript(CHAT, "test")))
    run(talk(workspace, "What is the dog called?", **SHORT))
    run(talk(workspace, "two", **SHORT))
    take_back(workspace)
    run(put_on(workspace, workspace.memory, "other", [{"role": "user", "content": "The sea."}], ()))
    run(talk(workspace, "three", **SHORT))
    return [(column.chat, column.real.messages, column.real.history) for column in workspace.arms.values()]


def test_a_conversation_is_the_same_here_and_away(workspace, away):
    assert conversation(workspace) == conversation(away)
    for here, there in zip(workspace.memories.values(), away.memories.values(), strict=True):
        assert np.allclose(here.session.snapshots[-1].states, there.session.snapshots[-1].states, atol=1e-4)
        assert here.session.stats()["written_tokens"] == there.session.stats()["written_tokens"]


def test_stopping_keeps_what_was_said(away):
    steps = talk(away, "hello", **{**SHORT, "max_new_tokens": 200})
    for _ in range(20):
        next(steps)
    away.stop.set()
    run(steps)
    for column in away.arms.values():
        assert column.stats["stop"] == "cancelled" and 0 < column.stats["new_tokens"] < 200
        assert column.chat == column.session.messages
    away.stop.clear()
    steps = talk(away, "and again", **{**SHORT, "max_new_tokens": 200})
    for _ in range(20):
        next(steps)
    steps.close()
    assert len(away.turns) == 2 and all(len(column.session.messages) == 4 for column in away.arms.values())


def test_stopping_a_writing_changes_nothing(away):
    steps = write(away, Transcript(CHAT * 300, "test"))
    next(steps)
    away.stop.set()
    with pytest.raises(Stopped):
        run(steps)
    assert away.steps == [] and away.memory.session.history == []


def test_a_trace_comes_back_and_leaves_the_conversation_alone(workspace, away):
    found = []
    for page in (workspace, away):
        run(write(page, Transcript(CHAT, "test")))
        run(talk(page, "What is the dog called?", **SHORT))
        before = page.memory.session.messages, len(page.memory.session.snapshots)
        found.append(Maps(page, Place(turn=1)).trace())
        assert (page.memory.session.messages, len(page.memory.session.snapshots)) == before
    here, there = found
    assert here.pieces == there.pieces and np.allclose(here.influence, there.influence, rtol=1e-2)


def test_probes_and_checks_away(workspace, away):
    found = []
    for page in (workspace, away):
        run(write(page, Transcript(CHAT, "test")))
        steps = probe(page, [Probe("What is the dog called?", ("Rex",))], True, CHAT, 5, temperature=0.0)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found.append(end.value)
                break
    assert found[0].to_csv() == found[1].to_csv()
    assert list(found[1].titles) == ["base", "memory", "memory-zero", "memory-other", "memory-shuffled"]
    assert all(findings.ok for findings in Checks(away.device).of(away).values())
