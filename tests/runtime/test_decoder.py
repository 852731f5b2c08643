"""Decoding engines against passes of the model: same logits, same tokens, same memory, whatever the batch."""

import pytest
import torch

from deltamem.runtime import Session
from deltamem.runtime.blocks import block
from deltamem.runtime.decoder import Decoder, Need, late, modules
from deltamem.runtime.decoder.decoder import kv_shapes
from deltamem.runtime.decoder.engine import Engine
from deltamem.runtime.decoder.trial import first_passes, trial
from deltamem.runtime.engine import Reply, decode
from deltamem.runtime.sampling import Sampler, Sampling
from deltamem.runtime.together import reply_together
from tests.core.tiny import make_adapter
from tests.runtime.conftest import same_states
from tests.runtime.decoding import FAMILIES, agree, answer, chat_stream, make_backbone, make_batch, stand_in, told

CONFIGS = [
    {},
    {"delta_heads": ("q", "k", "v", "o"), "num_state_heads": 2, "rank": 3},
    {"delta_heads": ("v",), "rankwise_gates": False, "state_update_mode": "lambda_outside"},
    {"couple_lambda": False, "delta_o_rmsnorm": True, "state_update_mode": "no_lambda"},
    {"trainable_delta_scale": True, "delta_scale_granularity": "head", "normalize_qk": False},
    {"memory_write_granularity": "message_mean", "target_layers": (0, 2)},
]
ROWS = [(9, 0.0), (3, 0.7), (14, 0.0), (6, 1.3)]  # prompt tokens and temperature


@pytest.mark.parametrize("family", FAMILIES)
def test_the_step_is_the_models_own(family):
    backbone = make_backbone(family)
    assert trial(stand_in(backbone, make_adapter(backbone)), kv_shapes(backbone)) == ""


@pytest.mark.parametrize("config", [None, CONFIGS[0], CONFIGS[-1]])
def test_first_passes_take_one_row_and_two(config, monkeypatch):
    backbone = make_backbone("qwen3")
    rows, working = [], Engine.step
    monkeypatch.setattr(Engine, "step", lambda self, *given: rows.append(self.rows) or working(self, *given))
    first_passes(
        stand_in(backbone, config if config is None else make_adapter(backbone, **config)), kv_shapes(backbone)
    )
    assert rows == [1, 2]


@pytest.mark.parametrize("family", FAMILIES)
def test_adding_to_the_residual_stream_waits_for_the_norm(family, monkeypatch):
    backbone = make_backbone(family)
    model = stand_in(backbone)
    batch = make_batch(model, 1)
    run, _ = told(model, None, 5, batch.seats[0].cache)
    batch.seats[0].join(run, 5, Sampler(Sampling(), "cpu"), 9)
    made = []
    working = late.add_rms_norm
    monkeypatch.setattr(late, "add_rms_norm", lambda *args: made.append(args) or working(*args))
    batch.force({batch.seats[0]: 7})
    assert len(made) == 2 * len(backbone.model.layers)


def test_a_late_output_is_a_tensor_to_everybody_else():
    output, residual = torch.randn(2, 1, 4), torch.randn(2, 1, 4)
    total = residual + late.Late(output)
    assert isinstance(total, late.Late) and torch.equal(total.value, residual + output)
    again = total + late.Late(output)
    assert torch.equal(torch.sum(again), torch.sum(residual + output + output))
    assert torch.equal(torch.mul(late.Late(output), 2), output * 2)
    normed = (residual + late.Late(output)).norm(torch.ones(4), 1e-6)
    torch.testing.assert_close(normed, torch.nn.functional.rms_norm(residual + output, (4,), eps=1e-6))


def test_the_trial_sees_a_step_that_is_not_the_models(monkeypatch):
    backbone = make_backbone("qwen3")
    backbone.model.layers[1].mlp.act_fn = torch.nn.Tanh()  # whose MLPs have none of the fast forms
    assert trial(stand_in(backbone), kv_shapes(backbone)) == ""
    working = modules.attention_inputs
    monkeypatch.setattr(modules, "attention_inputs", lambda *args: working(*args[:7], None, *args[8:]))  # no norms
    assert "differs from the model" in trial(stand_in(backbone), kv_shapes(backbone))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("ahead", [False, True])
def test_answers_in_a_batch_are_those_of_the_plain_loop(config, ahead):
    backbone = make_backbone("qwen3")
    ours = make_adapter(backbone, **{"rank": 4} | config)
    other = make_adapter(backbone, seed=2, rank=2)
    model = stand_in(backbone, ours, other)
    batch = make_batch(model, len(ROWS), ahead=ahead)
    chat_stream(model)
    adapters = [ours, None, other, ours]
    plain, seated, events = [], [], []
    for row, (adapter, (tokens, temperature)) in enumerate(zip(adapters, ROWS, strict=True)):
        run, logits = told(model, adapter, tokens, strength=0.5)
        plain.append((run, answer(run, logits, temperature=temperature, count=5 + row)))
        run, logits = told(model, adapter, tokens, batch.seats[row].cache, strength=0.5)
        reply = Reply()
        seated.append((run, reply))
        events.append(decode(run, logits, reply, Sampling(5 + row, temperature, 0.9, seed=3), 1000, batch.seats[row]))
    while events:
        events = [one for one in events if next(one, None) is not None]
    for (run, reply), (expected_run, expected) in zip(seated, plain, strict=True):
        assert reply.ids == expected.ids and reply.stop == expected.stop == "length"
        agree(run, expected_run)


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_step_that_was_started_ahead_is_taken_back(stop):
    backbone = make_backbone("llama")
    adapter = make_adapter(backbone, rank=4)
    model = stand_in(backbone, adapter)
    chat_stream(model)
    run, logits = told(model, adapter, 5)
    expected = answer(run, logits, stop=stop)
    batch = make_batch(model, 1, ahead=True)
    seated, logits = told(model, adapter, 5, batch.seats[0].cache)
    reply = answer(seated, logits, batch.seats[0], stop=stop)
    assert reply.ids == expected.ids and reply.stop == expected.stop == "cancelled"
    assert seated.length in (run.length, run.length + 1)
    if seated.length > run.length:  # the last token may have been fed, no token after it
        run.feed(block(reply.ids[-1:], True))
    agree(seated, run)


def two_begun(model, adapter, batch):
    """Two answers side by side behind 5 and 8 tokens, the first closed after four steps: (runs, replies, events)."""
    runs = [told(model, adapter, tokens, batch.seats[row].cache) for row, tokens in enumerate((5, 8))]
    replies = [Reply(), Reply()]
    events = [
        decode(run, logits, reply, Sampling(12), 1000, seat)
        for (run, logits), reply, seat in zip(runs, replies, batch.seats, strict=True)
    ]
    for _ in range(4):
        for one in events:
            next(one)
    events[0].close()
    return runs, replies, events


def test_an_answer_that_ends_leaves_the_others_and_its_own_memory_alone():
    backbone = make_backbone("qwen2")
    adapter = make_adapter(backbone, rank=4)
    model = stand_in(backbone, adapter)
    chat_stream(model)
    batch = make_batch(model, 2, ahead=True)
    runs, replies, events = two_begun(model, adapter, batch)
    states = {name: state.clone() for name, state in runs[0][0].states.items()}
    for _ in events[1]:
        pass
    assert all(torch.equal(states[name], state) for name, state in runs[0][0].states.items())
    run, logits = told(model, adapter, 8)
    assert replies[1].ids == answer(run, logits, count=12).ids
    agree(runs[1][0], run)
    runs[0][0].feed(block([7, 8], True))  # its row still is a KV like any other
    assert runs[0][0].length == batch.seats[0].cache.get_seq_length()


@pytest.mark.parametrize("rank", [4, None])
def test_what_closes_an_answer_is_fed_by_steps_while_another_goes_on(rank):
    backbone = make_backbone("qwen3")
    adapter = make_adapter(backbone, rank=rank) if rank else None
    model = stand_in(backbone, *([adapter] if adapter else []))
    chat_stream(model)
    batch = make_batch(model, 2, ahead=True)
    runs, replies, events = two_begun(model, adapter, batch)
    ended = runs[0][0]
    batch.seats[0].feed(ended, [*replies[0].ids[ended.length - 5 :], 7, 8])
    plain, _ = told(model, adapter, 5)
    plain.feed(block([*replies[0].ids, 7, 8], True))
    agree(ended, plain)
    for _ in events[1]:
        pass
    run, logits = told(model, adapter, 8)
    assert replies[1].ids == answer(run, logits, count=12).ids
    agree(runs[1][0], run)


def test_rows_without_memory_do_not_depend_on_those_with_it():
    backbone = make_backbone("qwen3")
    adapter = make_adapter(backbone, rank=4)
    logits = []
    for strength in (0.0, 1.0):
        model = stand_in(backbone, adapter)
        batch = make_batch(model, 2)
        for seat, one in zip(batch.seats, (None, adapter), strict=True):
            run, _ = told(model, one, 6, seat.cache, strength=strength)
            seat.join(run, 5, Sampler(Sampling(), "cpu"), 9)
        logits.append([batch.force(dict.fromkeys(batch.seats, token)) for token in (5, 9, 4)])
    for off, on in zip(*logits, strict=True):
        assert torch.equal(off[0], on[0]) and not torch.equal(off[1], on[1])


@pytest.mark.parametrize("context", ["none", "recent", "rag", "full"])
@pytest.mark.parametrize("label", [None, "TSW", "MSW", "SSW"])
def test_sessions_are_the_same_either_way(model, monkeypatch, label, context):
    seated, plain = (Session(model, memory=label is not None, context=context, adapter=label) for _ in range(2))
    for index, question in enumerate(("My dog is called Rex.", "Who is Rex?", "And the sea?")):
        options = {"max_new_tokens": 6, "temperature": 0.9 * (index == 1), "seed": 4}
        answered = seated.ask(question, **options)
        with monkeypatch.context() as patch:
            patch.setattr(model.decoder, "works", lambda: False)
            assert plain.ask(question, **options) == answered
        if index == 1:
            assert seated.undo() == plain.undo()
            seated = seated.branch()
    assert seated.messages == plain.messages and same_states(seated, plain, 1e-4)
    mine, theirs = seated.stats(), plain.stats()
    for stats in (mine["last"], theirs["last"]):
        stats.pop("ttft_s"), stats.pop("tok_s")
    assert mine == theirs


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"family": "mistral", "sliding_window": 8}, "sliding window"),
        ({"family": "llama", "dtype": torch.bfloat16}, "takes float32"),
    ],
)
def test_models_it_does_not_fit_decode_by_the_plain_loop(change, why, caplog):
    decoder = Decoder(stand_in(make_backbone(**change)))
    for _ in range(2):
        with decoder.seats([Need(None, 20)]) as seats:
            assert seats == [None]
    assert len(caplog.records) == 1 and why in caplog.text


def test_more_answers_than_a_batch_holds(model):
    with model.decoder.seats([Need(None, 20)] * 10) as seats:
        assert [seat is None for seat in seats] == [False] * 8 + [True] * 2


@pytest.mark.slow
def test_the_demo_model_gives_the_same_answers_together_alone_and_by_the_plain_loop(demo_model, monkeypatch):
    arms = [{"memory": False}, {"adapter": "TSW"}, {"adapter": "MSW"}]
    together, alone, plain = ([Session(demo_model, **arm) for arm in arms] for _ in range(3))
    for session in (*together, *alone, *plain):
        session.preload("My boat is called Tulip and it lies in Bergen.")
    question = "What is my boat called, and where does it lie?"
    for _ in reply_together(together, question, 12):
        pass
    answers = [session.ask(question, 12) for session in alone]
    monkeypatch.setattr(demo_model.decoder, "works", lambda: False)
    assert [session.ask(question, 12) for session in plain] == answers
    for a, b, c in zip(together, alone, plain, strict=True):
        assert a._steps[-1].reply_ids == b._steps[-1].reply_ids == c._steps[-1].reply_ids
        assert same_states(a, c, 1e-3) and same_states(b, c, 1e-3)
