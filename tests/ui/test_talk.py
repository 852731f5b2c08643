"""Asking both columns: answers grow together, stopping keeps them, errors take everything back."""

import pytest

from deltamem.core.errors import DeltaMemError
from deltamem.runtime.turn import Turn
from ui.arms import choose
from ui.talk import take_back, talk
from ui.workspace import Busy

SHORT = {"max_new_tokens": 6, "temperature": 0.0, "top_p": 1.0, "seed": 0}


def ask(workspace, question="What is the dog called?", **more):
    for _ in talk(workspace, question, **{**SHORT, **more}):
        pass


def answers(workspace):
    return {key: arm.chat[-1]["content"] for key, arm in workspace.arms.items()}


def test_both_columns_answer(workspace):
    ask(workspace)
    for arm in workspace.arms.values():
        assert arm.chat == arm.session.messages
        assert arm.stats["new_tokens"] == 6
        assert arm.stats["history_tokens"] == 0
    assert workspace.arms["memory"].stats["state_bytes"] > 0 == workspace.arms["base"].stats["state_bytes"]
    assert workspace.turns[0].kept == {"base", "memory"}


def test_columns_move_together(workspace):
    lengths = []
    for _ in talk(workspace, "hello", **SHORT):
        lengths.append([len(arm.chat[-1]["content"]) for arm in workspace.arms.values()])
    both = [base > 0 and memory > 0 for base, memory in lengths]
    assert both.index(True) < len(both) - 5  # long before the first of them is finished


def test_stop_keeps_the_partial_answers(workspace):
    steps = talk(workspace, "hello", **{**SHORT, "max_new_tokens": 200})
    for _ in range(20):
        next(steps)
    workspace.stop.set()
    for _ in steps:
        pass
    for arm in workspace.arms.values():
        assert arm.stats["stop"] == "cancelled"
        assert 0 < arm.stats["new_tokens"] < 200
        assert arm.chat == arm.session.messages
    workspace.stop.clear()
    ask(workspace, "and now?")
    assert len(workspace.turns) == 2


def test_a_closed_tab_ends_like_stop(workspace):
    steps = talk(workspace, "hello", **{**SHORT, "max_new_tokens": 200})
    for _ in range(20):
        next(steps)
    steps.close()
    assert len(workspace.turns) == 1
    assert all(arm.stats["stop"] == "cancelled" for arm in workspace.arms.values())


def test_stop_before_the_first_word_keeps_nothing(workspace):
    steps = talk(workspace, "hello", **SHORT)
    next(steps)
    workspace.stop.set()
    for _ in steps:
        pass
    assert workspace.turns[0].kept == set()
    assert all(arm.session.messages == [] for arm in workspace.arms.values())
    assert all(arm.stats == {"stop": "before"} for arm in workspace.arms.values())
    workspace.stop.clear()
    assert take_back(workspace) == "hello"
    assert all(arm.chat == [] for arm in workspace.arms.values())


def test_retry_gives_the_same_answer(workspace):
    ask(workspace, "one")
    ask(workspace, "two")
    before = answers(workspace)
    assert take_back(workspace) == "two"
    assert all(len(arm.session.messages) == 2 for arm in workspace.arms.values())
    ask(workspace, "two")
    assert answers(workspace) == before
    assert [turn.question for turn in workspace.turns] == ["one", "two"]


def test_nothing_to_take_back(workspace):
    assert take_back(workspace) is None


def test_an_error_in_one_column_takes_both_back(workspace, monkeypatch):
    ask(workspace, "one")
    before = {key: (list(arm.chat), arm.session.messages, arm.stats) for key, arm in workspace.arms.items()}
    working = Turn.events

    def broken(self, seat):
        events = working(self, seat)
        if self._session is not workspace.arms["memory"].session:
            return (yield from events)
        for _ in range(4):
            yield next(events)
        events.close()
        raise RuntimeError("broken")

    monkeypatch.setattr(Turn, "events", broken)
    with pytest.raises(RuntimeError):
        ask(workspace, "two")
    assert {key: (arm.chat, arm.session.messages, arm.stats) for key, arm in workspace.arms.items()} == before
    assert workspace.failed == "two"
    assert len(workspace.turns) == 1
    monkeypatch.undo()
    assert take_back(workspace) == "two"  # asks again, takes no turn
    assert len(workspace.turns) == 1


def test_too_long_a_question_changes_nothing(workspace):
    with pytest.raises(DeltaMemError):
        ask(workspace, "word " * 5000)
    assert all(arm.chat == [] and arm.session.messages == [] for arm in workspace.arms.values())
    assert all(arm.failure is None for arm in workspace.arms.values())


def test_a_column_without_room_says_so_and_the_others_go_on(workspace):
    for _ in choose(workspace, ["base-full", "memory"]):
        pass
    full, memory = workspace.arms.values()
    ask(workspace, "word " * 380)
    ask(workspace, "word " * 380)
    assert full.failure is None
    ask(workspace, "word " * 400)
    assert "tokens" in full.failure and full.chat[-1]["content"] == ""
    assert memory.failure is None and memory.stats["new_tokens"] == 6
    assert [turn.kept for turn in workspace.turns] == [{"base-full", "memory"}] * 2 + [{"memory"}]
    assert take_back(workspace) == "word " * 400
    assert full.failure is None and len(full.chat) == len(memory.chat) == 4
    ask(workspace, "short")
    assert full.failure is None and full.stats["new_tokens"] == 6


def test_a_page_does_one_thing_at_a_time(workspace):
    with workspace.claim(), pytest.raises(Busy, match="still at work"), workspace.claim():
        pass
    assert not workspace.busy
