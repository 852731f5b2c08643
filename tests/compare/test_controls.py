"""Negative controls: what each takes away, and that it can be taken back."""

import numpy as np
import pytest

from deltamem.compare.arms import PRESETS, make_arm, start_session
from deltamem.compare.controls import CONTROLS, apply, shuffled
from deltamem.compare.errors import ArmError
from deltamem.runtime import Session
from tests.compare.conftest import OTHER


@pytest.fixture
def told(model, history):
    return start_session(model, PRESETS["memory"], history)


def test_zero_is_a_session_that_was_told_nothing(model, told):
    answer = told.branch().ask("Who?", max_new_tokens=8)
    apply(told, "zero")
    assert told.branch().ask("Who?", max_new_tokens=8) == Session(model).ask("Who?", max_new_tokens=8) != answer
    told.undo()
    assert told.ask("Who?", max_new_tokens=8) == answer


def test_another_transcript_gives_its_state_and_not_its_words(model, told, history):
    seen = []
    apply(told, "other", other_messages=OTHER, progress=lambda *at: seen.append(at))
    other = start_session(model, PRESETS["memory"], OTHER)
    assert (told.snapshots[-1].states == other.snapshots[-1].states).all() and seen[-1][0] == seen[-1][1] > 0
    assert told.history == history
    assert told.ask("Who?", max_new_tokens=8) == other.ask("Who?", max_new_tokens=8)


def test_shuffled_rows_keep_every_number_and_no_place():
    states = np.arange(5 * 2 * 8 * 8, dtype=np.float32).reshape(5, 2, 8, 8)
    mixed = shuffled(states, seed=1)
    assert (np.sort(mixed, axis=2) == states).all(), "each column holds the same numbers"
    assert (mixed != states).all(), "no row stayed"
    assert (np.diff(mixed, axis=3) == 1).all(), "rows stay whole"
    orders = mixed[:, :, :, 0] // 8 % 8
    assert len({tuple(order) for order in orders.reshape(-1, 8)}) > 5, "every layer and head has its own order"
    assert (mixed == shuffled(states, seed=1)).all() and (mixed != shuffled(states, seed=2)).any()
    one = np.ones((2, 1, 1, 1), np.float32)
    assert (shuffled(one) == one).all()


def test_shuffling_changes_the_answer_and_is_the_same_each_time(told):
    answer, twin = told.branch().ask("Who?", max_new_tokens=8), told.branch()
    apply(told, "shuffled", seed=3)
    apply(twin, "shuffled", seed=3)
    norms = [np.linalg.norm(session.snapshots[-1].states) for session in (told, twin)]
    assert norms[0] == norms[1] and told.snapshots[-1].label == "shuffled rows"
    assert told.ask("Who?", max_new_tokens=8) == twin.ask("Who?", max_new_tokens=8) != answer


def test_layers_off_and_frozen_leave_the_state(told):
    states = told.snapshots[-1].states
    apply(told, "layers-off", layers=[0, 2])
    apply(told, "frozen")
    assert (told.snapshots[-1].states == states).all() and told.layers_off == (0, 2) and not told.writes
    told.ask("Who?", max_new_tokens=4)
    assert (told.snapshots[-1].states == states).all()


def test_no_control_changes_nothing(told):
    before = told.stats()
    apply(told, None)
    assert told.stats() == before


@pytest.mark.parametrize(
    ("control", "options", "said"),
    [
        ("magic", {}, "no control 'magic'"),
        ("other", {}, "needs another history"),
        ("other", {"other_messages": []}, "needs another history"),
        ("layers-off", {}, "needs the numbers of the layers"),
    ],
)
def test_what_is_missing_is_one_sentence(told, control, options, said):
    before = told.stats()
    with pytest.raises(ArmError, match=said):
        apply(told, control, **options)
    assert told.stats() == before


def test_controls_need_a_memory(model):
    for control in CONTROLS:
        with pytest.raises(ArmError, match="needs a memory"):
            apply(Session(model, memory=False), control, OTHER, [0])


@pytest.mark.parametrize("context", ["none", "recent", "rag", "full"])
def test_with_all_layers_off_a_memory_is_the_base_model(model, history, context):
    for question in ("Who?", "What does the dog called Rex like?"):
        with_memory, off, base = (
            start_session(model, make_arm(memory, context, **settings), history).ask(question, max_new_tokens=8)
            for memory, settings in (
                (True, {}),
                (True, {"control": "layers-off", "layers_off": range(4)}),
                (False, {}),
            )
        )
        assert off == base != with_memory


def test_a_zero_state_is_zero_to_the_bit_and_later_writes_count(told):
    apply(told, "zero")
    assert told.snapshots[-1].states.tobytes() == bytes(told.snapshots[-1].states.nbytes)
    told.ask("Who?", max_new_tokens=2)
    assert told.snapshots[-1].states.any(), "only the history is taken away"


def test_frozen_from_the_start_of_the_questions_on(model, history):
    frozen = start_session(model, make_arm(True, "none", control="frozen"), history)
    free = start_session(model, make_arm(True, "none"), history)
    for session in (frozen, free):
        session.ask("Who?", max_new_tokens=4)
    assert frozen.stats()["written_tokens"] == frozen.stats()["history_written_tokens"] > 0
    assert free.stats()["written_tokens"] > free.stats()["history_written_tokens"]
