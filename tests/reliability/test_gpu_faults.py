"""A card that really runs out of memory, and numbers that break down on it; where there is none, injected on the CPU.

It needs neither the page nor a tokenizer:

    python -m pytest -m gpu tests/reliability/test_gpu_faults.py
"""

import numpy as np
import pytest
import torch

from deltamem.compare.integrity import check_turn
from deltamem.runtime import Session, load_model
from deltamem.runtime.decoder import decoder as decoding
from deltamem.runtime.decoder.launch import Graph
from deltamem.runtime.decoder.memory import MemoryRows
from deltamem.runtime.errors import ModelError, NotANumber, SessionError
from deltamem.runtime.together import reply_together
from tests.conftest import make_tiny_model
from tests.reliability.faults import full_card, full_device, held_bytes
from tests.reliability.subjects import HISTORY, make_random

SHORT = {"max_new_tokens": 6}
LONG = "And what of the sea, which is so wide and so deep? " * 60
MIB = 1 << 20
GPU = pytest.param("cuda:0", marks=pytest.mark.gpu)


@pytest.fixture(scope="module", params=["cpu", GPU])
def model(request):
    """Random weights: on a card two layers of the 4B geometry, so that its kernels are the ones in use."""
    model = make_random("tiny" if request.param == "cpu" else "qwen3-4b-geometry", request.param, 2)
    assert model.decoder.works(), model.decoder.refusal
    for temperature in (0, 1):  # libraries keep something of their first calls
        session = make_session(model)
        session.ask(LONG, temperature=temperature, **SHORT)
        list(reply_together([session, session.branch()], "And now?", temperature=temperature, **SHORT))
    return model


@pytest.fixture
def card(model):
    """The model, where it is on a card: there is no capture without one."""
    if model.device.type != "cuda":
        pytest.skip("needs a CUDA GPU")
    return model


def make_session(model, **options):
    session = Session(model, **options)
    session.preload(HISTORY)
    session.ask("Who is Rex?", **SHORT)
    return session


KINDS = {"state": {}, "no memory": {"memory": False}, "state and history": {"context": "full"}}


@pytest.fixture(params=[*(pytest.param(kind, marks=pytest.mark.gpu) for kind in list(KINDS)[:2]), "state and history"])
def session(request, model):
    return make_session(model, **KINDS[request.param])


def kept(session):
    """What is said and remembered, to be compared."""
    states = [snapshot.states.tobytes() for snapshot in session.snapshots]
    stats = session.stats() | {"kv_bytes": None}  # no memory for a copy of the KV: it is computed again
    return session.history, session.messages, states, stats


def near(bytes_now, bytes_before):
    assert abs(bytes_now - bytes_before) <= 0.01 * bytes_before, (bytes_now, bytes_before)


def fails(session, act):
    """act() is refused in one sentence and changes nothing. Returns the sentence."""
    before = kept(session)
    with pytest.raises(SessionError, match=r"^The device ran out of memory.* use a smaller model\.$") as caught:
        act()
    said = str(caught.value)
    assert "\n" not in said and "GiB" not in said
    del caught  # it holds the frames, and they their tensors
    assert kept(session) == before
    return said


def goes_on(session, expected, held):
    """Memory is as before, and the next answer is the one that would have been."""
    near(held_bytes(session.model), held)
    answer = session.ask("And the sea?", **SHORT)
    assert answer == expected or (session.context == "full" and answer)  # a KV that is computed again is rounded anew
    session.undo()
    near(held_bytes(session.model), held)


@pytest.fixture
def expected(session):
    """The answer to "And the sea?"."""
    return session.branch().ask("And the sea?", **SHORT)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_load(device, tmp_path, monkeypatch):
    make_tiny_model(tmp_path)
    device = torch.device(device)
    if device.type == "cuda":
        load_model(tmp_path, adapter=None, device=device)
        fault = full_card(device)
    else:
        fault = monkeypatch.context()
    with fault as patch:
        if patch is not None:
            patch.setattr(torch.nn.Module, "to", lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
        with pytest.raises(
            ModelError, match="does not fit the free memory of .*; use a smaller model or the CPU"
        ) as it:
            load_model(tmp_path, adapter=None, device=device)
        del it
    assert load_model(tmp_path, adapter=None, device=device).device == device


@pytest.mark.parametrize("room", [0, pytest.param(32 * MIB, marks=pytest.mark.gpu)], ids=["at once", "in a layer"])
def test_prefill(session, expected, room):
    held = held_bytes(session.model)
    with full_device(session.model, room):
        said = fails(session, lambda: session.ask(LONG, **SHORT))
    assert "tokens in the prompt" in said
    goes_on(session, expected, held)


def test_preload(model):
    session = make_session(model)
    expected = session.branch().ask("And the sea?", **SHORT)
    held = held_bytes(model)
    with full_device(model, 32 * MIB):
        fails(session, lambda: session.preload([{"role": "user", "content": LONG}] * 2))
    goes_on(session, expected, held)


@pytest.mark.parametrize("after", [1, pytest.param(4, marks=pytest.mark.gpu)])
def test_decoding(session, expected, after):
    """On a card the first step needs memory, the others none, and what follows them only where there is a memory."""
    held = held_bytes(session.model)

    def act():
        events = session.reply("And the sea?", **SHORT)
        for _ in range(after):
            while not next(events).text:
                pass
        with full_device(session.model):
            list(events)

    if session.model.device.type == "cuda" and not session.memory and after > 1:
        act()
        assert session.messages[-1]["content"] == expected
        session.undo()
    else:
        fails(session, act)
    goes_on(session, expected, held)


def test_decoding_together(model):
    sessions = [make_session(model), make_session(model, memory=False)]
    expected = [session.branch().ask("And the sea?", **SHORT) for session in sessions]
    held = held_bytes(model)
    events = reply_together(sessions, "And the sea?", **SHORT)
    while not next(events)[1].text:
        pass
    with full_device(model), pytest.raises(SessionError, match="ran out of memory"):
        list(events)
    for session, answer in zip(sessions, expected, strict=True):
        if session.stats()["turns"] == 2:  # what it had said was kept
            session.undo()
        goes_on(session, answer, held)


@pytest.fixture
def full_capture(card, monkeypatch, request):
    """No memory for captures of one kind, once their kernels have run; there is again when it has failed.

    The kind: the test's parameter, whether answers are drawn. Gives the list of the captures that failed.
    """
    tries = []

    class Full(Graph):
        def capture(self, warm):
            if warm != request.param:
                super().capture(warm)
                return
            made = torch.cuda.CUDAGraph
            with pytest.MonkeyPatch.context() as patch:
                block = full_card(card.device)
                patch.setattr(torch.cuda, "CUDAGraph", lambda: (tries.append(warm), block.__enter__(), made())[-1])
                try:
                    super().capture(warm)
                finally:
                    block.__exit__(None, None, None)

    monkeypatch.setattr(decoding, "Graph", Full)
    return tries


@pytest.mark.parametrize("full_capture", [False], indirect=True)
def test_capture(session, expected, full_capture, caplog, monkeypatch):
    """After two tries the answer is written by the plain loop; the next one has an engine again."""
    held = held_bytes(session.model)
    assert session.branch().ask("And the sea?", **SHORT)
    assert full_capture == [False, False]
    assert "decodes by the plain loop: the device has no memory for" in caplog.text
    assert session.model.decoder.refusal == ""
    monkeypatch.undo()
    goes_on(session, expected, held)
    session.ask("And the sea?", **SHORT)
    assert session.model.decoder._idle


@pytest.mark.parametrize("full_capture", [True], indirect=True)
def test_capture_while_decoding(session, expected, full_capture, monkeypatch):
    """The graph of drawn answers is made with the first of them."""
    held = held_bytes(session.model)
    fails(session, lambda: session.ask("And the sea?", temperature=1.0, **SHORT))
    assert full_capture == [True]
    monkeypatch.undo()
    goes_on(session, expected, held)
    assert session.ask("And the sea?", temperature=1.0, **SHORT)


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.gpu)])
def test_a_state_that_breaks_down_while_it_is_used(model, monkeypatch, value):
    """In the decoding engine: writing stops, the finding is red, and the last good turn is there."""
    session = make_session(model)
    expected = session.branch().ask("And the sea?", **SHORT)
    before, held, join = kept(session), held_bytes(model), MemoryRows.join

    def spoiled(rows, row, *arguments):
        join(rows, row, *arguments)
        rows.states[:, row] = value

    with monkeypatch.context() as patch:
        patch.setattr(MemoryRows, "join", spoiled)
        with pytest.raises(NotANumber, match="no numbers any more|NaN or infinite") as caught:
            session.ask("And the sea?", **SHORT)
        del caught
    assert kept(session) == before
    assert [line.label for line in check_turn(session).wrong] == ["Last step"]
    goes_on(session, expected, held)


def test_a_state_that_is_broken_is_taken_back(model):
    """Should one be kept all the same: nothing is answered from it, and undo gives the turn before it."""
    session = make_session(model)
    expected = session.branch().ask("And the sea?", **SHORT)
    session.ask("Is it cold there?", **SHORT)
    for state in session._steps[-1].states.values():
        state.fill_(float("nan"))
    with pytest.raises(NotANumber):
        session.ask("And the sea?", **SHORT)
    assert not check_turn(session).ok
    session.undo()
    assert session.ask("And the sea?", **SHORT) == expected
    assert np.isfinite(session.snapshots[-1].states).all() and check_turn(session).ok
