"""Negative controls: on and off with one call, the conversation itself never touched."""

import numpy as np
import pytest

from deltamem.compare.errors import ArmError
from deltamem.transcripts import Transcript
from ui.arms import choose
from ui.control import put_on
from ui.history import write
from ui.talk import take_back, talk

CHAT = [{"role": "user", "content": "My dog is called Rex."}, {"role": "assistant", "content": "Hello Rex!"}]
OTHER = [{"role": "user", "content": "I like the sea."}]
SHORT = {"max_new_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0}
ALL = ["zero", "other", "shuffled", "frozen", "layers-off"]


def run(steps):
    return list(steps)


def put(workspace, name, layers=(1, 2)):
    run(put_on(workspace, workspace.memory, name, OTHER, layers))


def state(session):
    return session.snapshots[-1].states


@pytest.fixture
def told(workspace):
    run(write(workspace, Transcript(CHAT, "test")))
    run(talk(workspace, "one", **SHORT))
    return workspace


@pytest.mark.parametrize("name", ALL)
def test_on_and_off_gives_the_conversation_back(told, name):
    memory = told.memory
    real, before = memory.session, state(memory.session).copy()
    put(told, name)
    assert memory.control.name == name and memory.warning and memory.now.title != memory.arm.title
    assert memory.real is real and memory.session is not real
    run(talk(told, "two", **SHORT))
    assert memory.chat[-1]["tag"] == memory.warning
    assert told.turns[-1].kept == {"base"} and set(told.turns[-1].aside) == {"memory"}
    put(told, "")
    assert memory.control is None and memory.session is real
    assert np.array_equal(state(real), before)
    assert len(memory.chat) == 4 and len(real.messages) == 2
    run(talk(told, "three", **SHORT))
    assert "tag" not in memory.chat[-1]


def test_each_control_does_what_it_says(told):
    memory = told.memory
    before = state(memory.real)
    put(told, "zero")
    assert np.abs(state(memory.session)).max() == 0
    put(told, "shuffled")  # over the real state, not over zeros
    assert np.array_equal(np.sort(state(memory.session), axis=2), np.sort(before, axis=2))
    assert not np.array_equal(state(memory.session), before)
    put(told, "layers-off")
    assert memory.session.layers_off == (1, 2) and memory.warning == "layers 1–2 off"
    put(told, "frozen")
    run(talk(told, "two", **SHORT))
    assert np.array_equal(state(memory.session), before)
    put(told, "other")
    alone = told.new_column(memory.arm).session
    alone.preload(OTHER)
    assert np.array_equal(state(memory.session), state(alone))


@pytest.mark.parametrize("name", ALL)
def test_retry_under_a_control_asks_the_last_question_without_its_real_answer(told, name):
    put(told, name)
    assert take_back(told) == "one"
    memory = told.memory
    assert memory.real.messages == memory.session.messages == [] and memory.chat == []
    run(talk(told, "one", **SHORT))
    assert memory.real.messages == [] and len(memory.session.messages) == 2
    assert take_back(told) == "one"
    assert memory.session.messages == [] and memory.chat == []


@pytest.mark.parametrize("name", ALL)
def test_retry_leaves_a_control_on_that_was_put_on_after_the_answer(told, name):
    memory = told.memory
    put(told, "zero")
    run(talk(told, "two", **SHORT))
    put(told, name)
    spoilt, steps = state(memory.session), len(memory.session.snapshots)
    assert take_back(told) == "two"
    assert len(memory.session.snapshots) == steps and np.array_equal(state(memory.session), spoilt)
    assert memory.session.history == CHAT and len(memory.chat) == 2


def test_history_written_under_a_control_reaches_the_real_memory(told):
    put(told, "zero")
    run(write(told, Transcript(OTHER, "more")))
    memory = told.memory
    assert memory.real.history == CHAT + OTHER
    assert np.abs(state(memory.session)).max() == 0
    put(told, "")
    assert np.abs(state(memory.session)).max() > 0


def test_a_column_put_aside_comes_back_without_its_control(told):
    put(told, "zero")
    run(choose(told, ["base", "base-rag"]))
    run(choose(told, ["base", "memory"]))
    assert told.memory.control is None and len(told.memory.session.messages) == 2


def test_controls_that_cannot_be_are_refused(told):
    with pytest.raises(ArmError, match="memory"):
        run(put_on(told, told.arms["base"], "zero", [], ()))
    with pytest.raises(ArmError, match="history"):
        run(put_on(told, told.memory, "other", [], ()))
    with pytest.raises(ArmError, match="layer"):
        put(told, "layers-off", layers=())
    with pytest.raises(Exception, match="no layer 99"):
        put(told, "layers-off", layers=(99,))
    assert told.memory.control is None
