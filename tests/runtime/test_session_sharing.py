"""One writing for several arms: a branch that shows its history in another way; and whether a question still fits."""

import pytest

from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError
from tests.runtime.conftest import same_states

HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
]


@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
@pytest.mark.parametrize("context", ["none", "recent", "rag"])
def test_a_branch_with_another_context_is_the_session_that_read_itself(model, label, context):
    written = Session(model, context="none" if context != "none" else "rag", adapter=label)
    written.preload(HISTORY)
    shared = written.branch(context, 2)
    alone = Session(model, context=context, adapter=label, recent_turns=2)
    alone.preload(HISTORY)
    assert same_states(shared, alone)
    for text in ("What is the dog called?", "Who?"):
        assert shared.ask(text, max_new_tokens=5) == alone.ask(text, max_new_tokens=5)
    assert same_states(shared, alone) and shared.stats()["context"] == context
    assert len(written.snapshots) == 1


def test_a_branch_takes_each_setting_by_itself(model):
    other = Session(model, context="recent").branch(recent_turns=1)
    assert (other.context, other.recent_turns, other.passages) == ("recent", 1, 4)
    with pytest.raises(SessionError, match="passages is 0"):
        other.branch(passages=0)


def test_full_history_is_read_in_one_piece_and_cannot_be_shared(model):
    for have, want in (("none", "full"), ("full", "rag")):
        with pytest.raises(SessionError, match=f"{have} cannot go on as {want}"):
            Session(model, context=have).branch(want)
    assert Session(model, context="full").branch("full").context == "full"


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("context", ["none", "full"])
def test_room_is_told_before_anything_runs(model, sent, memory, context):
    session = Session(model, memory=memory, context=context)
    session.preload(HISTORY)
    session.ask("Who?", max_new_tokens=3)
    before = session.stats()
    sent.clear()
    session.check_room("And now?")
    for text, said in (("word " * 5000, "tokens"), (" ", "empty")):
        with pytest.raises(SessionError, match=said) as told:
            session.check_room(text)
        with pytest.raises(SessionError) as raised:
            session.ask(text)
        assert str(told.value) == str(raised.value)
    assert session.stats() == before and not sent.passes
