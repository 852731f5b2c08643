"""Sessions on a real tiny model: steps forward, back and sideways, alone and beside others."""

import dataclasses
import threading

import pytest
import torch

from deltamem.runtime import Session, blocks
from deltamem.runtime.errors import SessionError
from tests.runtime.conftest import same_states
from tests.runtime.sessions import CONTEXTS, HISTORY, LABELS

# Settling


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("context", ["none", "full"])
def test_a_closed_reply_is_kept_as_a_short_one(model, context, label):
    closed, short = (Session(model, context=context, adapter=label) for _ in range(2))
    for session in (closed, short):
        session.preload(HISTORY)
    events = closed.reply("Who?", max_new_tokens=50)
    pieces = [next(events).text for _ in range(3)]
    with pytest.raises(SessionError, match="writing a reply"):
        closed.ask("and?")
    events.close()
    short.ask("Who?", max_new_tokens=3)
    assert closed.messages == short.messages and closed.messages[1]["content"].startswith("".join(pieces))
    assert same_states(closed, short)
    assert closed.stats()["last"]["stop"] == "cancelled" and short.stats()["last"]["stop"] == "length"
    assert closed.ask("And?", max_new_tokens=5) == short.ask("And?", max_new_tokens=5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_error_or_an_early_close_takes_the_turn_back(model, monkeypatch, context):
    session = Session(model, context=context)
    session.preload(HISTORY)
    session.ask("hello", max_new_tokens=3)
    twin = session.branch()
    with monkeypatch.context() as patch:
        passes = iter(range(100))
        forward = model.backbone.model.layers[2].forward

        def fails(*args, **kwargs):
            if next(passes) == 3:
                raise KeyboardInterrupt
            return forward(*args, **kwargs)

        patch.setattr(model.backbone.model.layers[2], "forward", fails)
        with pytest.raises(KeyboardInterrupt):
            session.ask("Who?", max_new_tokens=9)
    monkeypatch.setattr(blocks, "CHUNK", 4)
    events = session.reply("Where is the sea?")
    assert next(events).text == ""
    events.close()
    session.reply("never started").close()
    monkeypatch.undo()
    assert session.messages == twin.messages and same_states(session, twin)
    assert session.ask("Who?", max_new_tokens=5) == twin.ask("Who?", max_new_tokens=5)
    assert same_states(session, twin)


@pytest.mark.parametrize("context", ["none", "full"])
def test_cancelled_history_leaves_the_session_as_it_was(model, context):
    session = Session(model, context=context)
    session.ask("hello", max_new_tokens=3)
    twin = session.branch()

    def stop(done, total):
        if done >= total / 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        session.preload([{"role": "user", "content": "My dog is called Rex. " * 200}], stop)
    assert session.history == [] and session.stats() == twin.stats() and same_states(session, twin)
    assert session.ask("Who?", max_new_tokens=5) == twin.ask("Who?", max_new_tokens=5)


def test_a_memory_that_is_no_number_is_not_kept(model):
    session = Session(model, context="full")
    session.preload(HISTORY)
    twin = session.branch()
    layer = list(model.adapters["TSW"].layers.values())[-1]
    kept = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    try:
        with torch.no_grad():
            layer.memory_v_proj.fill_(float("nan"))
        with pytest.raises(SessionError, match="no numbers any more, so this step was taken back"):
            session.preload(HISTORY)
        with pytest.raises(SessionError, match="instead of a number"):
            session.ask("Who?")
    finally:
        layer.load_state_dict(kept)
    assert same_states(session, twin) and session.ask("Who?", max_new_tokens=4) == twin.ask("Who?", max_new_tokens=4)


def test_stop_kinds_reach_the_stats(model, monkeypatch):
    session = Session(model)
    session.ask("Who?", max_new_tokens=8)
    ids = session._steps[0].reply_ids
    session.undo()
    monkeypatch.setattr(model.chat, "stop_ids", frozenset([ids[0]]))
    *_, last = session.reply("Who?", max_new_tokens=8)
    assert last.stats["stop"] == "eos" and last.stats["new_tokens"] == 0 and session.messages[1]["content"] == ""
    monkeypatch.undo()
    assert session.ask("And now?", max_new_tokens=3)
    small = dataclasses.replace(model, max_context=40)
    session = Session(small, context="full")
    *_, last = session.reply("Who?", max_new_tokens=80)
    assert last.stats["stop"] == "context" and session._kept.cache.get_seq_length() == 40
    with pytest.raises(SessionError, match=r"\d+ tokens .* at most \d+ before its answer; reset, or show less"):
        session.ask("Who?")
    assert len(session.messages) == 2
    session.undo()
    assert session.ask("Who?", max_new_tokens=3)


# Steps back and sideways


@pytest.mark.parametrize("label", [None, *LABELS])
@pytest.mark.parametrize("context", CONTEXTS)
def test_undo_is_exact(model, context, label):
    session = Session(model, memory=label is not None, adapter=label, context=context, system="Be kind.")
    trail = []
    for step in (lambda: session.preload(HISTORY), lambda: session.ask("Who?", max_new_tokens=4)) * 2:
        trail.append((session.branch(), session.stats()))
        step()
    answers = []
    while trail:
        twin, stats = trail.pop()
        gone = session.undo()
        assert gone == HISTORY or [m["role"] for m in gone] == ["user", "assistant"]
        if context == "full" and label is None:  # what was only recorded may be in the KV by now
            stats["kv_bytes"] = session.stats()["kv_bytes"]
        assert same_states(session, twin) and session.stats() == stats
        assert session.messages == twin.messages and session.history == twin.history
        answers.append(session.branch().ask("And?", max_new_tokens=5))
        assert answers[-1] == twin.ask("And?", max_new_tokens=5)
    assert session.stats()["written_tokens"] == 0
    with pytest.raises(SessionError, match="nothing to take back"):
        session.undo()


@pytest.mark.parametrize("context", CONTEXTS)
def test_branches_and_returned_lists_are_independent(model, context):
    session = Session(model, context=context)
    session.preload(HISTORY)
    session.ask("Who?", max_new_tokens=4)
    twin, control = session.branch(), session.branch()
    twin.ask("I like the sea", max_new_tokens=9)
    twin.reset()
    session.messages.clear()
    session.history[0]["content"] = "changed"
    session.stats()["last"]["stop"] = "changed"
    session.snapshots.clear()
    assert same_states(session, control) and session.messages == control.messages and session.stats() == control.stats()
    assert session.ask("And?", max_new_tokens=5) == control.ask("And?", max_new_tokens=5)
    assert same_states(session, control)


def test_reset_is_a_fresh_session(model):
    session = Session(model, context="full", system="Be kind.")
    fresh = session.branch()
    session.preload(HISTORY)
    session.ask("Who?", max_new_tokens=4)
    session.reset()
    assert session.stats() == fresh.stats() and session.messages == session.history == []
    assert session.ask("Who?", max_new_tokens=4) == fresh.ask("Who?", max_new_tokens=4)


# Several sessions at once


def conversation(model, label, context, seed):
    session = Session(model, memory=label is not None, adapter=label, context=context)
    session.preload(HISTORY[: 2 + 2 * (seed % 2)])
    for question in ("Who?", "And the sea?"):
        yield from session.reply(question, max_new_tokens=7, temperature=0.9 * seed, seed=seed)
    yield session


ARMS = [("TSW", "none", 0), ("SSW", "full", 1), (None, "recent", 2), ("MSW", "rag", 3)]


def finished(conversation):
    *_, session = conversation
    return session


def assert_same(sessions, alone):
    for session, expected in zip(sessions, alone, strict=True):
        assert session.messages == expected.messages
        assert same_states(session, expected)


def test_interleaved_sessions_are_as_alone(model):
    alone = [finished(conversation(model, *arm)) for arm in ARMS]
    running = {index: conversation(model, *arm) for index, arm in enumerate(ARMS)}
    done = {}
    while running:
        for index in list(running):
            item = next(running[index])
            if isinstance(item, Session):
                done[index] = item
                del running[index]
    assert_same([done[index] for index in range(len(ARMS))], alone)


def test_sessions_in_threads_are_as_alone(model):
    alone = [finished(conversation(model, *arm)) for arm in ARMS]
    done = [None] * len(ARMS)

    def work(index):
        done[index] = finished(conversation(model, *ARMS[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(ARMS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_same(done, alone)
