"""Sessions on a real tiny model: what is shown and what is written."""

import dataclasses

import pytest
import torch

from deltamem.core.attach import empty_adapter
from deltamem.core.binding import Binding, bind
from deltamem.core.config import HFDeltaMemConfig
from deltamem.runtime import Session, blocks
from tests.runtime.conftest import same_states
from tests.runtime.sessions import CONTEXTS, HISTORY, LABELS, text_of, told


def counted(binding):
    """Writes that the first layer really made."""
    return int(next(iter(binding.gates.written.values())).item())


# What the model sees


def test_none_shows_the_current_turn_alone(model, sent):
    session = Session(model, context="none")
    session.preload(HISTORY)
    session.ask("hello", max_new_tokens=3)
    for question in ("What is the name of the dog?", "How are you?"):
        sent.clear()
        *_, last = session.reply(question, max_new_tokens=4)
        prompt, _, before = sent.passes[0]
        assert prompt == model.chat.message("user", question) + model.chat.reply_header and before == 0
        assert last.stats["prompt_tokens"] == len(prompt) and last.stats["history_tokens"] == 0
        assert "Rex" not in text_of(model, sent.ids) and session.stats()["kv_bytes"] == 0


@pytest.mark.parametrize("memory", [True, False])
def test_recent_shows_the_last_exchanges_read_only(model, sent, memory):
    chat = model.chat
    session = Session(model, memory=memory, context="recent", recent_turns=2, system="Be kind.")
    session.preload(HISTORY)
    session.ask("hello", max_new_tokens=3)
    sent.clear()
    *_, last = session.reply("Who?", max_new_tokens=3)
    shown = HISTORY[2:] + session.messages[:2]
    system, question = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}
    assert sent.passes[0][0] == told(chat, system, *shown, question) + chat.reply_header
    assert sent.passes[0][1] == ((told(chat, question) + chat.reply_header) if memory else [])
    assert last.stats["history_tokens"] == len(told(chat, *shown))


@pytest.mark.parametrize("memory", [True, False])
def test_rag_quotes_passages_read_only(model, sent, memory):
    chat = model.chat
    session = Session(model, memory=memory, context="rag")
    session.preload(HISTORY)
    sent.clear()
    *_, last = session.reply("What does my dog like?", max_new_tokens=3)
    prompt, written, _ = sent.passes[0]
    quoted = "Context:\n> user: My dog is called Rex.\n\nQuestion:\n"
    assert last.stats["passages"] == ["user: My dog is called Rex."]
    question = {"role": "user", "content": quoted + session.messages[0]["content"]}
    assert text_of(model, prompt) == text_of(model, told(chat, question) + chat.reply_header)
    assert written == (told(chat, session.messages[0]) + chat.reply_header if memory else [])
    assert last.stats["history_tokens"] == len(chat.text(quoted))
    *_, last = session.reply("zebra", max_new_tokens=3)
    assert last.stats["passages"] == [] and last.stats["history_tokens"] == 0


@pytest.mark.parametrize("label", [None, *LABELS])
def test_full_shows_everything_and_processes_it_once(model, sent, label):
    chat = model.chat
    session = Session(model, memory=label is not None, context="full", adapter=label, system="Be kind.")
    session.preload(HISTORY)
    replies = []
    for question in ("Who?", "How are you?"):
        shown = len(sent.ids)
        *_, last = session.reply(question, max_new_tokens=4)
        replies.append(session._steps[-1].reply_ids)
        assert last.stats["prompt_tokens"] > shown if label != "SSW" else True
    system = {"role": "system", "content": "Be kind."}
    everything = told(chat, system, *HISTORY)
    for question, ids in zip(("Who?", "How are you?"), replies, strict=True):
        everything += told(chat, {"role": "user", "content": question})
        everything += [*chat.reply_header, *ids, *chat.reply_footer]
    assert session._kept.cache.get_seq_length() == len(everything)
    if label == "SSW":
        assert sent.written == everything, "the answer is fed again, and written only then"
    else:
        assert sent.ids == everything
    assert last.stats["history_tokens"] == last.stats["prompt_tokens"] - len(
        told(chat, system, {"role": "user", "content": "How are you?"}) + chat.reply_header
    )
    assert session.stats()["kv_bytes"] > 0


def test_full_without_memory_answers_as_generate_does(model):
    session = Session(model, memory=False, context="full")
    session.preload(HISTORY)
    session.ask("Who?", max_new_tokens=5)
    everything = session.history + session.messages
    text = session.ask("How are you?", max_new_tokens=8)
    prompt = told(model.chat, *everything[:-1])
    prompt += [*model.chat.reply_header, *session._steps[1].reply_ids, *model.chat.reply_footer]
    prompt += told(model.chat, {"role": "user", "content": "How are you?"}) + model.chat.reply_header
    with bind(model.backbone, None):
        ids = model.backbone.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, len(prompt) :]
    assert session._steps[-1].reply_ids == ids.tolist() and model.chat.decode(ids.tolist()) == text


# What is written


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("label", LABELS)
def test_every_token_is_written_once(model, sent, label, context):
    session = Session(model, context=context, adapter=label, system="Be kind.")
    session.preload(HISTORY[:2])
    session.preload(HISTORY[2:])
    for question in ("Where is the dog?", "And the sea?"):
        session.ask(question, max_new_tokens=5)
    chat = model.chat
    expected = told(chat, {"role": "system", "content": "Be kind."}, *HISTORY)
    for step in session._steps[2:]:
        expected += told(chat, step.messages[0]) + chat.reply_header + step.reply_ids + chat.reply_footer
    assert sent.written == expected
    assert session.stats()["written_tokens"] == len(expected)
    assert session.stats()["history_written_tokens"] == sum(s.written_tokens for s in session.snapshots[:2])
    writes = [counted(binding) for binding in sent.bindings]
    assert sum(writes) == (1 + len(HISTORY) + 4 if label == "SSW" else len(expected))


@pytest.mark.parametrize("label", LABELS)
def test_what_opens_a_conversation_is_written_once(model, sent, label):
    session = Session(model, adapter=label, system="Be kind.")
    session.preload([*HISTORY, *HISTORY])
    assert sent.written == told(model.chat, {"role": "system", "content": "Be kind."}, *HISTORY, *HISTORY)


def test_without_memory_nothing_is_written_and_the_backbone_answers(model, sent):
    session = Session(model, memory=False)
    session.preload(HISTORY)
    assert sent.passes == [] and session.history == HISTORY and session.snapshots == []
    text = session.ask("Who?", max_new_tokens=6)
    assert sent.written == [] and session.stats()["written_tokens"] == 0 and session.stats()["state_bytes"] == 0
    silent = Session(model, strength=0)
    silent.preload(HISTORY)
    assert silent.ask("Who?", max_new_tokens=6) == text
    loud = Session(model)
    loud.preload(HISTORY)
    assert loud.ask("Who?", max_new_tokens=6) != text, "the random memory is strong enough to tell"


def test_a_turn_is_one_pass_over_its_tokens(model):
    session = Session(model, adapter="MSW")
    session.preload(HISTORY[:2])
    before = dict(session._steps[0].states)
    session.ask("Who?", max_new_tokens=6)
    chat = model.chat
    ids = told(chat, session.messages[0]) + chat.reply_header + session._steps[1].reply_ids + chat.reply_footer
    binding = Binding(model.adapters["MSW"], before)
    with bind(model.backbone, binding), torch.no_grad():
        model.backbone(torch.tensor([ids]))
    for name, state in session._steps[1].states.items():
        torch.testing.assert_close(state, binding.states[name], atol=1e-4, rtol=1e-4)


def test_segment_memory_takes_each_message_whole(model):
    session = Session(model, adapter="SSW")
    session.ask("Who are you?", max_new_tokens=6)
    chat = model.chat
    question = told(chat, session.messages[0])
    reply = chat.reply_header + session._steps[0].reply_ids + chat.reply_footer
    binding = Binding(model.adapters["SSW"])
    with bind(model.backbone, binding), torch.no_grad():
        binding.message_ids = torch.zeros(1, len(question), dtype=torch.long)
        cache = model.backbone(torch.tensor([question]), use_cache=True).past_key_values
        binding.message_ids = torch.zeros(1, len(reply), dtype=torch.long)
        model.backbone(torch.tensor([reply]), past_key_values=cache)
    for name, state in session._steps[0].states.items():
        torch.testing.assert_close(state, binding.states[name], atol=1e-5, rtol=1e-4)


def test_sentence_memory_takes_each_sentence(model, sent):
    adapter = empty_adapter(model.backbone, HFDeltaMemConfig(rank=4, memory_write_granularity="sentence_mean"))
    session = Session(dataclasses.replace(model, adapters={"S": adapter}, adapter_name="S"))
    session.preload([{"role": "user", "content": "My dog is Rex. He likes the sea!\nHello"}, HISTORY[1]])
    assert counted(sent.bindings[0]) == 3 + 1 and sent.written == sent.ids


@pytest.mark.parametrize("label", LABELS)
def test_long_history_is_written_in_bounded_passes(model, sent, label):
    text = "My dog is called Rex and he likes the sea. " * 450
    seen = []
    session = Session(model, adapter=label)
    session.preload([*HISTORY, {"role": "user", "content": text}, HISTORY[1]], lambda *at: seen.append(at))
    count = len(told(model.chat, *HISTORY, {"role": "user", "content": text}, HISTORY[1]))
    assert count > 2 * blocks.GROUP and session.stats()["history_written_tokens"] == count
    most = blocks.GROUP if label == "SSW" else blocks.CHUNK
    assert max(len(ids) for ids, _, _ in sent.passes) == most
    assert max(before + len(ids) for ids, _, before in sent.passes) == blocks.GROUP
    groups = [before for _, _, before in sent.passes].count(0)
    assert groups == 2 + -(-(count - len(told(model.chat, *HISTORY))) // blocks.GROUP)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {count} and seen[-1] == (count, count)


@pytest.mark.parametrize("context", ["none", "full"])
def test_history_in_small_chunks_gives_the_same_memory(model, monkeypatch, context):
    one = Session(model, context=context)
    one.preload(HISTORY)
    monkeypatch.setattr(blocks, "CHUNK", 5)
    many = Session(model, context=context)
    many.preload(HISTORY)
    assert not same_states(one, many) and same_states(one, many, 1e-4)


def test_snapshots_tell_each_step(model):
    session = Session(model, adapter="MSW")
    assert [s.label for s in session.snapshots] == ["start"]
    session.ask("hello", max_new_tokens=2)
    session.preload("He likes the sea.")
    session.ask("hello", max_new_tokens=2)
    session.preload("Rex")
    start, *rest = session.snapshots
    assert [s.label for s in rest] == ["turn 1", "history", "turn 2", "history 2"]
    assert start.states.shape == (4, 3, 4, 4) and not start.states.any() and start.written_tokens == 0
    assert start.beta.shape == (4, 3, 4) and torch.from_numpy(start.beta).isnan().all()
    for snapshot in rest:
        assert snapshot.layers == list(model.adapters["MSW"].layers) and snapshot.states.dtype == "float32"
        assert snapshot.states.any() and ((snapshot.beta > 0) & (snapshot.beta < 1)).all()
        assert abs(snapshot.beta + snapshot.lam - 1).max() < 1e-5
    session.reset()
    session.preload("Rex")
    assert [s.label for s in session.snapshots] == ["history"]


def test_the_memory_after_a_step_is_one_piece(model):
    """Its layers' small states, each on its own, would keep the heap around them from going back to the system."""
    session = Session(model, adapter="MSW")
    session.ask("hello", max_new_tokens=2)
    states = session._steps[-1].states.values()
    assert len(states) > 1 and len({state.untyped_storage().data_ptr() for state in states}) == 1
