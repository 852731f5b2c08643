"""Sampling, passes and the decoding loop, on a real tiny model."""

import threading

import pytest
import torch

from deltamem.core.binding import bind
from deltamem.runtime import blocks
from deltamem.runtime.blocks import block, passes
from deltamem.runtime.engine import Reply, decode
from deltamem.runtime.errors import SessionError
from deltamem.runtime.run import Run, sentence_ids
from deltamem.runtime.sampling import Sampler, Sampling

TEXT = "The memory keeps what the user said. My dog is called Rex and he likes the sea. "


def tokens(model, count):
    ids = model.chat.text(TEXT * (count // 20 + 1))
    assert len(ids) >= count
    return ids[:count]


def answer(run, prompt, room=4096, **options):
    """(Reply, pieces) of a prompt."""
    reply = Reply()
    logits = run.feed(prompt)
    events = list(decode(run, logits, reply, Sampling(**options), room))
    assert all(event.kind == "text" for event in events)
    return reply, [event.text for event in events]


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": 2.0},
        {"max_new_tokens": True},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": "hot"},
        {"temperature": 1e39},
        {"temperature": 10**400},
        {"top_p": 0},
        {"top_p": 1.01},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 2**64},
    ],
)
def test_sampling_refuses_values_out_of_range(options):
    with pytest.raises(SessionError, match=f"{next(iter(options))} is .*; it must be"):
        Sampling(**options)


def test_temperature_zero_takes_the_likeliest_token_and_a_tiny_one_nearly_so():
    logits = torch.tensor([0.0, 3.0, 2.999, -50.0])
    assert Sampler(Sampling(), "cpu").pick(logits) == 1
    assert Sampler(Sampling(temperature=1e-30), "cpu").pick(logits * 1e4) == 1


def test_draws_follow_the_probabilities_within_top_p():
    logits = torch.log(torch.tensor([0.05, 0.6, 0.3, 0.05]))
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.7), "cpu")
    drawn = [sampler.pick(logits) for _ in range(600)]
    assert set(drawn) == {1, 2}, "0.6 does not reach 0.7, 0.9 does"
    assert 0.6 < drawn.count(1) / 600 < 0.73
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.001), "cpu")
    assert {sampler.pick(logits) for _ in range(20)} == {1}, "the likeliest token always stays"


def test_a_seed_decides_alone():
    logits = torch.randn(50)
    first = Sampler(Sampling(temperature=1.0, seed=7), "cpu")
    drawn = [first.pick(logits) for _ in range(20)]
    again, other = (Sampler(Sampling(temperature=1.0, seed=seed), "cpu") for seed in (7, 8))
    torch.manual_seed(3)
    assert [again.pick(logits) for _ in range(20)] == drawn
    assert [other.pick(logits) for _ in range(20)] != drawn


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_output_that_is_no_number_is_an_error(value, temperature):
    with pytest.raises(SessionError, match="instead of a number; reset"):
        Sampler(Sampling(temperature=temperature), "cpu").pick(torch.tensor([0.0, value, 1.0]))


def test_greedy_without_memory_is_what_generate_gives(model):
    prompt = tokens(model, 40)
    reply, pieces = answer(Run(model), block(prompt, True), max_new_tokens=20)
    with bind(model.backbone, None):
        whole = model.backbone.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0].tolist()
    assert prompt + reply.ids == whole
    assert "".join(pieces) == reply.text == model.chat.decode(reply.ids)
    assert reply.stop == "length" and reply.tok_s > 0 and 0 < reply.ttft_s < reply.last_s


@pytest.mark.parametrize("label", ["TSW", "MSW"])
def test_chunks_of_any_size_agree_with_one_pass(model, label, monkeypatch):
    ids, adapter = tokens(model, 301), model.adapters[label]
    one = Run(model, adapter)
    expected = one.feed(block(ids, True))
    for size in (1, 37, 300):
        monkeypatch.setattr(blocks, "CHUNK", size)
        run = Run(model, adapter)
        for part in passes([block(ids[:100], True), block(ids[100:], True)], by_message=False):
            logits = run.feed(part)
        assert run.length == 301 and run.written == 301
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)
        for name, state in run.states.items():
            torch.testing.assert_close(state, one.states[name], atol=2e-4, rtol=1e-4)


def test_what_is_read_only_reads_and_does_not_write(model):
    adapter = model.adapters["TSW"]
    told = Run(model, adapter)
    told.feed(block(tokens(model, 30), True))
    before = dict(told.states)
    shown = told.feed(block(tokens(model, 8), False))
    assert all(torch.equal(told.states[name], before[name]) for name in before) and told.written == 30
    told.restart()
    mixed = Run(model, adapter, before)
    ids = tokens(model, 8)
    mixed.feed(blocks.join([block(ids[:4], False), block(ids[4:], True)]))
    assert mixed.written == 4 and not torch.equal(next(iter(mixed.states.values())), next(iter(before.values())))
    alone = Run(model)
    alone.feed(block(tokens(model, 30), True))
    assert not torch.equal(shown, alone.feed(block(tokens(model, 8), False)))


def test_states_stay_usable_with_gradients(model):
    run = Run(model, model.adapters["TSW"])
    run.feed(block(tokens(model, 12), True))
    state = next(iter(run.states.values()))
    assert not state.is_inference()
    weight = torch.ones_like(state, requires_grad=True)
    (weight * state).sum().backward()
    assert torch.equal(weight.grad, state)


def test_stops(model, monkeypatch):
    prompt = block(tokens(model, 40), True)
    reply, _ = answer(Run(model), prompt, max_new_tokens=12)
    free = reply.ids
    assert reply.stop == "length" and len(free) == 12
    run = Run(model)
    reply, _ = answer(run, prompt, room=45, max_new_tokens=12)
    assert reply.stop == "context" and reply.ids == free[:5]
    assert run.length + 1 == 45, "the last token still fits"
    ending = next(i for i in range(3, 12) if free[i] not in free[:i])
    monkeypatch.setattr(model.chat, "stop_ids", frozenset([free[ending]]))
    reply, _ = answer(Run(model), prompt, max_new_tokens=12)
    assert reply.stop == "eos" and reply.ids == free[:ending]


def test_closing_leaves_what_was_drawn(model):
    run, reply = Run(model), Reply()
    events = decode(run, run.feed(block(tokens(model, 40), True)), reply, Sampling(), 4096)
    drawn = [next(events).text for _ in range(3)]
    events.close()
    assert reply.stop == "cancelled" and len(reply.ids) == 3 and run.length == 42
    assert reply.text.startswith("".join(drawn)) and reply.text == model.chat.decode(reply.ids)


def test_the_model_is_free_between_passes(model):
    run, reply = Run(model), Reply()
    events = decode(run, run.feed(block(tokens(model, 10), True)), reply, Sampling(max_new_tokens=3), 4096)
    free = []

    def try_it():
        free.append(model.lock.acquire(blocking=False))
        model.lock.release()

    for _ in events:
        other = threading.Thread(target=try_it)
        other.start()
        other.join()
    assert free == [True] * 3


def test_running_out_of_memory_is_one_sentence(model, monkeypatch):
    def no_room(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.backbone, "forward", no_room)
    with pytest.raises(SessionError, match="out of memory at 10 tokens .* reset the session"):
        Run(model).feed(block(tokens(model, 10), True))


def test_sentences_end_at_full_stops_before_white_space(model):
    ids = model.chat.text("It is 3.14 now. Is it? yes\nno")
    marks = sentence_ids(block(ids, True), model.chat)
    found = {}
    for token, mark in zip(ids, marks, strict=True):
        found.setdefault(mark, []).append(token)
    assert [model.chat.decode(part) for part in found.values()] == ["It is 3.14 now.", " Is it?", " yes\n", "no"]
    assert sentence_ids(blocks.join([block(ids[:2], False), block(ids[2:4], True)]), model.chat)[:2] == [-1, -1]


@pytest.mark.parametrize(
    ("gigabytes", "token_bytes", "chunk"), [(80, 99_328, 32768), (24, 99_328, 8192), (4, 10**6, 2048)]
)
def test_passes_on_a_gpu_are_as_large_as_its_memory_allows(gigabytes, token_bytes, chunk):
    assert blocks.gpu_chunk(gigabytes * 10**9, token_bytes) == chunk
