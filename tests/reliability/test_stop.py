"""Stopping and leaving: decoding ends with the pass that is under way, and every arm is left at a defined point.

That point is: once a word of the answer was said, the question and the partial answer are both kept; before, both are
undone. How long it takes is measured by tests/reliability/stopping.py.
"""

from dataclasses import replace

import pytest

from deltamem.compare.arms import PRESETS, make_session
from deltamem.transcripts import Transcript
from tests.reliability.files import meaning
from tests.reliability.stopping import page_of, start
from tests.reliability.subjects import HISTORY
from ui.background import Stopped
from ui.history import write
from ui.registry import Gone, Registry
from ui.talk import talk
from ui.workspace import Busy

LONG = {"max_new_tokens": 2000}


@pytest.fixture
def passes(model):
    """How many passes went through the backbone so far: a list that grows."""
    seen = []
    handle = model.backbone.model.layers[0].register_forward_hook(lambda *_: seen.append(1))
    yield seen
    handle.remove()


@pytest.fixture(params=list(PRESETS))
def session(request, model):
    one = make_session(model, PRESETS[request.param])
    one.preload(HISTORY)
    return one


def words_of(events, count):
    """The first `count` events with text, as a string."""
    text = ""
    while count:
        event = next(events)
        text += event.text
        count -= bool(event.text)
    return text


def test_stopping_keeps_question_and_partial_answer(session, passes):
    events = session.reply("Who is Rex?", **LONG)
    said = words_of(events, 3)
    before = len(passes)
    events.close()
    assert len(passes) - before <= 1  # what closes the answer is written in one pass
    assert [message["role"] for message in session.messages] == ["user", "assistant"]
    assert session.messages[1]["content"].startswith(said.rstrip("\ufffd"))
    assert session.stats()["last"]["stop"] == "cancelled"
    kept = meaning(session)
    assert session.ask("And the sea?", max_new_tokens=3) is not None
    session.undo()
    assert meaning(session) == kept


def test_stopping_before_the_first_word_undoes_both(session, passes):
    before = meaning(session)
    events = session.reply("Who is Rex?", **LONG)
    events.close()  # not begun
    assert meaning(session) == before and not passes
    session._view = replace(session._view, chunk=8)  # a prompt of several passes
    events = session.reply("Who is Rex? " * 20, **LONG)
    assert next(events).text == next(events).text == ""
    begun = len(passes)
    events.close()
    assert meaning(session) == before and len(passes) == begun > 1
    assert session.ask("And the sea?", max_new_tokens=3) is not None


def answered(page, count):
    """A talk that has run for `count` events, inside the page's claim, in a thread of its own as on a server."""
    began, done, errors = start(page, talk(page, "Who is Rex?", **LONG), count)
    assert began.wait(120)
    return done, errors


KEYS = [["base", "memory"], ["base-rag", "base-full", "memory-rag", "memory-full"]]


@pytest.mark.parametrize("keys", KEYS, ids="+".join)
@pytest.mark.parametrize("how", ["stop", "leave"])
def test_a_page_that_is_stopped_or_left(model, passes, keys, how):
    """Stop and a closed tab end all columns at once, and the page's place is free."""
    page = page_of(model, keys)
    registry = Registry(lambda: page)
    key = registry.open("tab")
    done, errors = answered(page, 40)
    before = len(passes)
    page.stop.set() if how == "stop" else registry.close_page("tab")
    assert done.wait(60) and errors == []
    # The pass that was under way, perhaps one that had begun before the event was seen, and one to close each answer.
    assert len(passes) - before <= 2 + 2 * len(keys)
    assert not page.busy
    (turn,) = page.turns
    assert turn.kept == set(keys)
    for column in page.arms.values():
        assert column.session.stats()["last"]["stop"] == "cancelled"
        assert column.chat[-1]["content"] == column.session.messages[-1]["content"] != ""
    if how == "leave":
        with pytest.raises(Gone):
            registry.get(key)
    else:
        assert registry.get(key) is page
        list(talk(page, "And the sea?", max_new_tokens=2))
        assert len(page.turns) == 2


@pytest.mark.parametrize("how", ["stop", "leave"])
def test_history_that_is_stopped_or_left(model, passes, how):
    page = page_of(model, ["memory", "memory-full"])
    registry = Registry(lambda: page)
    registry.open("tab")
    before = {key: meaning(column.session) for key, column in page.arms.items()}
    steps = write(page, Transcript(HISTORY * 400, "test"))
    next(steps)
    page.stop.set() if how == "stop" else registry.close_page("tab")
    with pytest.raises(Stopped):
        for _ in steps:
            pass
    assert {key: meaning(column.session) for key, column in page.arms.items()} == before
    assert len(page.histories) == 1


def test_a_page_at_work_refuses_a_second_piece_of_work(model):
    page = page_of(model, ["base", "memory"])
    done, errors = answered(page, 5)
    with pytest.raises(Busy, match="still at work: wait for it, or press Stop"), page.claim():
        pass
    page.stop.set()
    assert done.wait(60) and errors == []
    with page.claim():
        pass
