"""A step measured token by token afterwards: the same tokens, the same numbers, and a session that does not notice."""

import numpy as np
import pytest
import torch

from deltamem.runtime import Session, trace
from deltamem.runtime.errors import SessionError
from tests.runtime.conftest import same_states

CONTEXTS = ("none", "recent", "rag", "full")
HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex! 🐕"},
    {"role": "user", "content": "He likes the sea."},
]


def talked(model, label, context="none", **options):
    session = Session(model, adapter=label, context=context, **options)
    session.preload(HISTORY)
    session.ask("What does my dog like?", max_new_tokens=6)
    session.ask("hello", max_new_tokens=5)
    return session


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
def test_a_trace_holds_what_the_step_wrote(model, sent, label, context):
    session = talked(model, label, context, system="Be kind.")
    for index, shot in enumerate(session.snapshots):
        sent.clear()
        found = session.trace(shot.label)
        assert "".join(found.pieces) == model.tokenizer.decode(sent.ids)
        assert [i for i, mark in zip(sent.ids, found.written, strict=True) if mark] == sent.written
        assert found.label == shot.label and found.layers == shot.layers and found.head == "o"
        assert found.tokens == len(found.pieces) == found.beta.shape[1] == found.influence.shape[1]
        assert found.written.sum() == shot.written_tokens
        assert np.array_equal(np.isnan(found.beta), np.broadcast_to(~found.written, found.beta.shape))
        assert np.isfinite(found.influence).all()
        assert (found.influence[:, -1] > 0).all() if index else (found.influence[:, 0] == 0).all()
        beta = found.beta[:, found.written].astype(np.float32)
        if label == "SSW":  # one write a message, whatever its length
            starts = np.flatnonzero(np.diff(beta[-1], prepend=-1))
            beta = beta[:, starts]
        assert np.allclose(beta.mean(axis=1), shot.beta.mean(axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize("context", ["none", "full"])
def test_a_session_does_not_notice(model, context):
    session, twin = talked(model, "MSW", context), talked(model, "MSW", context)
    session.trace("history")
    session.trace()
    assert same_states(session, twin)
    assert session.stats() | {"last": None} == twin.stats() | {"last": None}
    assert session.ask("Who?", max_new_tokens=6) == twin.ask("Who?", max_new_tokens=6)
    assert same_states(session, twin)


def test_a_loaded_session_can_be_traced(model, tmp_path):
    session = talked(model, "TSW", "full")
    session.save(tmp_path / "session.safetensors")
    loaded = Session.load(model, tmp_path / "session.safetensors")
    for label in ("history", "turn 2"):
        one, other = session.trace(label), loaded.trace(label)
        assert one.pieces == other.pieces
        assert np.allclose(one.influence, other.influence, rtol=1e-2, atol=1e-3)


def test_a_long_step_keeps_a_bounded_part(model, sent, monkeypatch):
    session = Session(model)
    session.preload([{"role": "user", "content": f"My dog number {i} is called Rex."} for i in range(40)])
    session.ask("What is the name of the dog? " * 12, max_new_tokens=3)
    whole = session.trace("history"), session.trace("turn 1")
    monkeypatch.setattr(trace, "LIMIT", 64)
    sent.clear()
    history = session.trace("history")
    assert len(sent.ids) < whole[0].tokens, "what is not kept is not run"
    turn = session.trace("turn 1")
    assert history.pieces == whole[0].pieces[:64] and history.tokens == whole[0].tokens
    assert turn.pieces == whole[1].pieces[-64:] and turn.tokens == whole[1].tokens
    assert np.array_equal(turn.beta, whole[1].beta[:, -64:], equal_nan=True)


def test_strength_scales_the_influence(model):
    traces = []
    for strength in (1.0, 0.0):
        session = Session(model, strength=strength)
        session.preload(HISTORY)
        traces.append(session.trace())
    assert np.nanmax(traces[0].influence) > 0 and not traces[1].influence.any()


def test_what_cannot_be_traced_is_said(model):
    with pytest.raises(SessionError, match="no step of this session to trace"):
        Session(model).trace()
    plain = Session(model, memory=False)
    plain.preload(HISTORY)
    with pytest.raises(SessionError, match="no step of this session to trace"):
        plain.trace()
    session = talked(model, "TSW")
    with pytest.raises(SessionError, match="no step 'turn 9'.*history, turn 1, turn 2"):
        session.trace("turn 9")
    reply = session.reply("hello", max_new_tokens=2)
    next(reply)
    with pytest.raises(SessionError, match="writing a reply"):
        session.trace()
    reply.close()


def test_pieces_join_to_the_text(model):
    chat = model.chat
    ids = chat.message("user", "Grüße 🐕 <|im_end|> x") + [chat.text("é")[0]]
    found = trace.pieces(chat, ids)
    assert len(found) == len(ids)
    assert "".join(found) == model.tokenizer.decode(ids)
    assert found[0] == "<|im_start|>" and torch.tensor(ids).numel() == len(found)
    assert trace.pieces(chat, []) == []
