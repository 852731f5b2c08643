"""Batched answers: every row must come out as it would alone, through a session."""

import random

import pytest
import torch

from deltamem.core.binding import Binding
from deltamem.runtime import Session
from deltamem.runtime.blocks import block, join
from deltamem.runtime.errors import SessionError
from deltamem.runtime.rows import Draw, answer_rows, write_rows
from deltamem.runtime.run import Run

QUESTIONS = ["What is the name of the dog?", "Who?", "And what did the user say about the sea today, my friend?"]
TOLD = ["My dog is called Rex.", "He likes the sea.", "The user said hello. I am fine."]


def question_block(model, text, by_message=False):
    chat = model.chat
    asked = block(chat.message("user", text), True)
    return join([asked, block(chat.reply_header, not by_message)])


@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
def test_rows_with_states_of_their_own_answer_like_sessions(model, label):
    alone, states, prompts = [], [], []
    for told, question in zip(TOLD, QUESTIONS, strict=True):
        session = Session(model, adapter=label)
        session.preload([{"role": "user", "content": told}])
        last = session.snapshots[-1]
        states.append({n: torch.from_numpy(s)[None] for n, s in zip(last.layers, last.states, strict=True)})
        alone.append(session.ask(question, max_new_tokens=12))
        prompts.append(question_block(model, question, label == "SSW"))
    joined = {name: torch.cat([row[name] for row in states]) for name in states[0]}
    answers = answer_rows(model.backbone, model.chat, prompts, [12] * 3, binding=Binding(model.adapters[label], joined))
    assert [model.chat.decode(a.ids) for a in answers] == alone
    assert len(set(alone)) == 3  # or the test could not tell rows apart


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
def test_histories_written_side_by_side_leave_what_sessions_leave(model, label, rows):
    long = "The user likes the sea. " * 300  # several passes on one KV, and for SSW several segments
    histories = [
        [{"role": "user", "content": TOLD[0]}],
        [{"role": "user", "content": long}, {"role": "assistant", "content": "Hello."}],
        [{"role": role, "content": text} for role, text in zip(["user", "assistant", "user"], TOLD, strict=True)],
        [{"role": "system", "content": "Be kind."}, {"role": "user", "content": long[:900]}],
    ]
    for messages, (states, written) in zip(
        histories, write_rows(model, model.adapters[label], histories, rows), strict=True
    ):
        session = Session(model, adapter=label)
        session.preload(messages)
        last = session.snapshots[-1]
        assert written == last.written_tokens
        for name, state in zip(last.layers, last.states, strict=True):
            torch.testing.assert_close(states[name][0], torch.from_numpy(state), rtol=1e-4, atol=1e-4)


def test_messages_are_segments_of_their_own_before_each_prompt(model):
    chat = model.chat
    histories = [[{"role": "user", "content": text} for text in TOLD[:count]] for count in (2, 0, 1)]
    alone, before = [], []
    for history, question in zip(histories, QUESTIONS, strict=True):
        session = Session(model, memory=True, context="full", adapter="SSW")
        if history:
            session.preload(history)
        alone.append(session.ask(question, max_new_tokens=12))
        before.append([block(chat.message(m["role"], m["content"]), True) for m in history])
    prompts = [question_block(model, question, by_message=True) for question in QUESTIONS]
    binding = Binding(model.adapters["SSW"], model.adapters["SSW"].empty_states(3))
    answers = answer_rows(model.backbone, chat, prompts, [12] * 3, binding=binding, before=before)
    assert [chat.decode(a.ids) for a in answers] == alone


@pytest.mark.parametrize("label", [None, "TSW"])
def test_rows_that_share_a_prefix_answer_like_sessions_that_see_it(model, label):
    chat = model.chat
    history = [{"role": "user", "content": " ".join(TOLD)}, {"role": "assistant", "content": "Hello, how are you?"}]
    alone = []
    for question in QUESTIONS:
        session = Session(model, memory=label is not None, context="full", adapter=label)
        session.preload(history)
        alone.append(session.ask(question, max_new_tokens=12))
    run = Run(model, model.adapters[label] if label else None)
    run.feed(join([block(chat.message(m["role"], m["content"]), True) for m in history]))
    prompts = [question_block(model, question) for question in QUESTIONS]
    binding = None
    if label:
        states = {name: state.repeat(3, 1, 1, 1) for name, state in run.states.items()}
        binding = Binding(model.adapters[label], states)
    length = run.length
    answers = answer_rows(model.backbone, chat, prompts, [12] * 3, binding=binding, prefix=run.cache)
    assert [chat.decode(a.ids) for a in answers] == alone
    assert run.length == length and run.cache.layers[0].keys.shape[0] == 1  # the prefix can be used again


def test_rows_end_at_their_own_limits_and_the_others_go_on(model):
    prompts = [question_block(model, question) for question in QUESTIONS]
    long = answer_rows(model.backbone, model.chat, prompts, [20] * 3)
    short = answer_rows(model.backbone, model.chat, prompts, [20, 2, 5])  # two leave early: the batch is thinned out
    assert short[0] == long[0]
    assert [short[1].ids, short[2].ids] == [long[1].ids[:2], long[2].ids[:5]]
    assert short[1].stop == "length"


def test_the_end_token_ends_a_row(model, monkeypatch):
    prompts = [question_block(model, question) for question in QUESTIONS]
    free = answer_rows(model.backbone, model.chat, prompts, [8] * 3)
    end = free[1].ids[3]
    monkeypatch.setattr(model.chat, "stop_ids", frozenset([end]))
    ended = answer_rows(model.backbone, model.chat, prompts, [8] * 3)
    assert ended[1].ids == free[1].ids[: free[1].ids.index(end)] and ended[1].stop == "eos"


def test_draws_depend_on_the_seed_alone_and_not_on_the_rows_beside(model):
    prompts = [question_block(model, question) for question in QUESTIONS]
    draw = Draw(temperature=1.5, top_p=0.95, top_k=50)
    together = answer_rows(model.backbone, model.chat, prompts, [10] * 3, draw, ["a", "b", "c"])
    alone = answer_rows(model.backbone, model.chat, prompts[1:2], [10], draw, ["b"])
    other = answer_rows(model.backbone, model.chat, prompts[1:2], [10], draw, ["d"])
    assert together[1] == alone[0] != other[0]


def test_draws_keep_to_top_k_and_top_p_in_their_proportions():
    logits = torch.log(torch.tensor([0.05, 0.5, 0.25, 0.2])).repeat(4000, 1)
    dice = [random.Random(0)] * 4000

    def shares(**settings):
        picked = Draw(temperature=1.0, **settings).pick(logits, dice)
        return (torch.bincount(picked, minlength=4) / 4000).tolist()

    assert shares() == pytest.approx([0.05, 0.5, 0.25, 0.2], abs=0.03)
    assert shares(top_k=2) == pytest.approx([0, 2 / 3, 1 / 3, 0], abs=0.03)
    assert shares(top_p=0.7) == pytest.approx([0, 2 / 3, 1 / 3, 0], abs=0.03)  # 0.5 alone does not reach 0.7
    assert shares(top_p=0.5) == [0, 1, 0, 0]
    assert Draw(0.0).pick(logits[:2], dice[:2]).tolist() == [1, 1]


def test_numbers_that_are_none_are_an_error(model):
    prompts = [question_block(model, QUESTIONS[0])]
    states = {name: torch.full((1, 1, 4, 4), float("nan")) for name in model.adapters["TSW"].layers}
    with pytest.raises(SessionError, match="instead of a number"):
        answer_rows(model.backbone, model.chat, prompts, [3], binding=Binding(model.adapters["TSW"], states))
