"""A device that runs out of memory, numbers that break down: one sentence, nothing lost, the next request works."""

import gc

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from deltamem.compare.arms import PRESETS, make_session
from deltamem.compare.integrity import check_turn
from deltamem.runtime import cache as kv
from deltamem.runtime import load_model, models
from deltamem.runtime import session as sessions
from deltamem.runtime.decoder import decoder as decoding
from deltamem.runtime.errors import ModelError, NotANumber, SessionError
from deltamem.runtime.together import reply_together
from tests.reliability.faults import broken_pass, out_of_memory, spoil, tensor_bytes
from tests.reliability.files import meaning
from tests.reliability.subjects import HISTORY
from ui.history import write
from ui.integrity import Checks
from ui.panels.integrity import badge
from ui.talk import talk
from ui.workspace import Workspace

ARMS = list(PRESETS)
SHORT = {"max_new_tokens": 6}


@pytest.fixture
def no_collection():
    """What is let go must be gone at once: on a GPU, the next allocation does not wait for Python to find cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=ARMS)
def session(request, model):
    """A session of each arm with history and one answer."""
    one = make_session(model, PRESETS[request.param])
    one.preload(HISTORY)
    one.ask("Who is Rex?", **SHORT)
    return one


@pytest.mark.parametrize("after", [0, 1, 3], ids=["prefill", "first step", "third step"])
def test_out_of_memory_while_answering(session, model, after, no_collection):
    """The turn is taken back whole, memory is as before, and the next answer is the one that would have been."""
    expected = session.branch().ask("And the sea?", **SHORT)
    before, held = meaning(session), tensor_bytes()
    with broken_pass(model, after, out_of_memory):
        with pytest.raises(SessionError, match=r"device ran out of memory.* use a smaller model\.$") as caught:
            session.ask("And the sea?", **SHORT)
    assert "\n" not in str(caught.value) and "GiB" not in str(caught.value)
    assert after or "tokens in the prompt" in str(caught.value)
    del caught
    assert meaning(session) == before
    assert abs(tensor_bytes() - held) <= 0.01 * held
    assert session.ask("And the sea?", **SHORT) == expected


def test_answers_leave_nothing_behind_but_their_step(session, no_collection):
    """No engine, no KV, whether an answer ends by itself, is stopped, or is drawn for several sessions at once."""
    session.ask("And the sea?", **SHORT)  # in a first turn libraries may keep something
    session.undo()
    held = tensor_bytes()
    session.ask("And the sea?", **SHORT)
    session.undo()
    events = session.reply("And the sea?", **SHORT)
    next(event for event in events if event.text)
    events.close()
    del events
    session.undo()
    list(reply_together([session, session.branch()], "And the sea?", **SHORT))
    session.undo()
    assert abs(tensor_bytes() - held) <= 0.01 * held


def test_out_of_memory_while_history_is_written(session, model):
    before = meaning(session)
    with broken_pass(model, 0, out_of_memory):
        if session.memory:
            with pytest.raises(SessionError, match="ran out of memory"):
                session.preload(HISTORY * 20)
            assert meaning(session) == before
    session.preload(HISTORY * 20)
    assert len(session.history) == 42


def test_out_of_memory_at_load(place, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(AutoModelForCausalLM, "from_pretrained", out_of_memory)
        with pytest.raises(ModelError, match="does not fit the free memory of cpu; use a smaller model") as caught:
            load_model(place / "tiny", adapter=None, device="cpu")
    assert "\n" not in str(caught.value)
    assert load_model(place / "tiny", adapter=None, device="cpu").adapter is None


def test_out_of_memory_for_an_adapter(place, monkeypatch):
    model = load_model(place / "tiny", adapter=None, device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(models, "read_adapter", out_of_memory)
        with pytest.raises(ModelError, match="The adapter in .* does not fit the free memory of cpu"):
            model.add_adapter("TSW", place / "adapter")
    assert not model.adapters and model.add_adapter("TSW", place / "adapter") is model.adapter


@pytest.mark.parametrize("part", ["take_snapshot", "Run"])
def test_out_of_memory_outside_the_passes(model, monkeypatch, part):
    session = make_session(model, PRESETS["memory-full"])
    session.preload(HISTORY)
    before = meaning(session)
    with monkeypatch.context() as patch:
        patch.setattr(sessions, part, out_of_memory)
        with pytest.raises(SessionError, match=r"^The device ran out of memory; .*\.$"):
            session.ask("Who is Rex?", **SHORT)
    assert meaning(session) == before
    assert session.ask("Who is Rex?", **SHORT)


def test_no_memory_to_keep_the_kv_means_computing_it_again(model, monkeypatch):
    session = make_session(model, PRESETS["memory-full"])
    session.preload(HISTORY)
    expected = session.branch()
    answers = [expected.ask(question, **SHORT) for question in ("Who is Rex?", "And the sea?")]
    with monkeypatch.context() as patch:
        patch.setattr(kv, "copy_cache", out_of_memory)
        assert session.ask("Who is Rex?", **SHORT) == answers[0]
    assert session.stats()["kv_bytes"] == 0
    assert session.ask("And the sea?", **SHORT) == answers[1]
    assert session.stats()["last"]["rebuilt_tokens"] > 0 == expected.stats()["last"]["rebuilt_tokens"]


def test_no_memory_to_try_out_an_engine_is_not_the_last_word(model, monkeypatch):
    decoder = decoding.Decoder(model)
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "trial", out_of_memory)
        assert not decoder.works()
    assert decoder.works()


@pytest.mark.parametrize(
    "error", [out_of_memory, lambda *_, **__: (_ for _ in ()).throw(RuntimeError("can't allocate"))]
)
def test_no_memory_for_an_engine_means_the_plain_loop(session, monkeypatch, error):
    expected = session.branch().ask("And the sea?", **SHORT)
    monkeypatch.setattr(decoding, "Engine", error)
    assert session.ask("And the sea?", **SHORT) == expected


@pytest.mark.parametrize("part", ["Engine", "Graph"])
def test_out_of_memory_at_a_capture_means_the_plain_loop(model, monkeypatch, part):
    """Once what other engines hold was given back and a second try failed too."""
    tries = []
    monkeypatch.setattr(decoding, "Graph", lambda engine: None)
    monkeypatch.setattr(decoding, part, lambda *_: tries.append(1) or out_of_memory())
    model.decoder.works()
    model.decoder._idle = [("key", "engine", "launcher")]
    assert model.decoder._make((1, frozenset()), [], 4096) is None
    assert tries == [1, 1] and model.decoder._idle == []
    assert model.decoder.works()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("after", [0, 2], ids=["prefill", "decoding"])
def test_numbers_that_break_down_are_not_kept(session, model, after, value):
    """Writing stops, the finding is red, and the memory is that of the last good turn, without anything to be done."""
    expected = session.branch().ask("And the sea?", **SHORT)
    before = meaning(session)
    with broken_pass(model, after, spoil(value)):
        with pytest.raises(NotANumber, match="NaN or infinite|no numbers any more"):
            session.ask("And the sea?", **SHORT)
    assert meaning(session) == before
    assert [line.label for line in check_turn(session).wrong] == ["Last step"]
    assert session.ask("And the sea?", **SHORT) == expected
    assert check_turn(session).ok
    session.undo()
    assert meaning(session) == before


def test_a_state_that_breaks_down_while_history_is_written(model):
    session = make_session(model, PRESETS["memory"])
    session.preload(HISTORY)
    before = meaning(session)
    with broken_pass(model, 0, spoil(float("nan"))), pytest.raises(NotANumber, match="taken back"):
        session.preload(HISTORY)
    assert meaning(session) == before and not check_turn(session).ok
    session.reset()
    assert check_turn(session).ok


def test_one_fault_does_not_spoil_the_others(model):
    """Of answers that grow side by side, the one that breaks is taken back; the others keep what they said."""
    sessions = [make_session(model, PRESETS[key]) for key in ("base", "memory", "memory-full")]
    events = reply_together(sessions, "Who is Rex?", max_new_tokens=50)
    for _ in range(12):
        next(events)
    with broken_pass(model, 0, out_of_memory), pytest.raises(SessionError, match="ran out of memory"):
        for _ in events:
            pass
    for session in sessions:
        assert session.stats()["turns"] in (0, 1) and not session._busy.locked()
        assert session.ask("And now?", **SHORT) is not None


@pytest.mark.parametrize("fault", [out_of_memory, spoil(float("nan"))], ids=["memory", "numbers"])
def test_a_page_says_it_and_goes_on(model, fault):
    """All columns are as before, the question is at hand, the badge turns red for broken numbers and green again."""
    page = Workspace(model)
    checks = Checks(page.device)
    for _ in write(page, transcript()):
        pass
    list(talk(page, "Who is Rex?", **SHORT))
    chats = {key: list(column.chat) for key, column in page.arms.items()}
    sessions = {key: meaning(column.session) for key, column in page.arms.items()}
    with broken_pass(model, 3, fault), pytest.raises(SessionError):
        list(talk(page, "And the sea?", **SHORT))
    assert page.failed == "And the sea?"
    assert {key: column.chat for key, column in page.arms.items()} == chats
    assert {key: meaning(column.session) for key, column in page.arms.items()} == sessions
    assert ("dm-bad" in badge(checks.of(page))) == (fault is not out_of_memory)
    list(talk(page, "And the sea?", **SHORT))
    assert page.failed is None and len(page.turns) == 2
    assert "dm-fine" in badge(checks.of(page))


def transcript():
    from deltamem.transcripts import Transcript

    return Transcript(HISTORY, "test")


def test_a_broken_state_is_never_saved_or_loaded(model, tmp_path):
    session = make_session(model, PRESETS["memory"])
    session.preload(HISTORY)
    with broken_pass(model, 0, spoil(float("nan"))), pytest.raises(NotANumber):
        session.ask("Who?")
    session.save(tmp_path / "s.safetensors")
    again = type(session).load(model, tmp_path / "s.safetensors")
    assert np.isfinite(again.snapshots[-1].states).all() and meaning(again) == meaning(session)
