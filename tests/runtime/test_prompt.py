"""Captured passes do what plain passes do. On the CPU a stand-in runs the pass again at every replay."""

from types import SimpleNamespace

import pytest
import torch

from deltamem.core.trace import TokenTrace
from deltamem.runtime.blocks import Block, block
from deltamem.runtime.decoder import prompt as prompts
from deltamem.runtime.decoder.decoder import kv_shapes
from deltamem.runtime.decoder.prompt import LENGTHS, PromptPass, Prompts, takes
from deltamem.runtime.errors import SessionError
from deltamem.runtime.run import Run
from tests.core.tiny import make_adapter
from tests.runtime.decoding import agree, make_backbone, make_batch, never_waits, stand_in, told

TOKENS = Block([(3 + 5 * i) % 61 for i in range(9)], [i not in (2, 8) for i in range(9)])


class Again:
    """As much of a CUDA graph as a pass uses: its results lie where they lay."""

    def __init__(self, work):
        self.work, self.results = work, work()

    def replay(self):
        for result, new in zip(self.results, self.work(), strict=True):
            result.copy_(new)


def stand_in_capture(device, work):
    again = Again(work)
    return again, again.results


@pytest.fixture
def capture(monkeypatch):
    monkeypatch.setattr(prompts, "captured", stand_in_capture)


@pytest.fixture(params=["qwen3", "smollm3"])
def model(request):
    backbone = make_backbone(request.param)
    by_message = make_adapter(backbone, rank=3, memory_write_granularity="message_mean")
    return stand_in(
        backbone, make_adapter(backbone, rank=4), make_adapter(backbone, rank=2, num_state_heads=2), by_message
    )


def begun(model, adapter):
    """States that are not empty."""
    return told(model, adapter, 5)[0].states


@pytest.mark.parametrize("seat", [False, True], ids=["own KV", "seat"])
@pytest.mark.parametrize("writes", [True, False], ids=["", "frozen"])
@pytest.mark.parametrize(
    ("index", "options"),
    [(None, {}), (0, {}), (1, {"strength": 0.5, "layers_off": frozenset({"model.layers.1.self_attn"})}), (2, {})],
)
def test_a_captured_pass_is_the_plain_pass(model, capture, index, options, writes, seat):
    adapter = None if index is None else model.adapters[index]
    made = PromptPass(model, kv_shapes(model.backbone), 16, adapter, **options)
    made.check()
    states, ours = begun(model, adapter), []
    options = {**options, "writes": writes}
    for tokens in (TOKENS, block([7], True), TOKENS):  # a shorter one between: nothing of it may stay
        run = Run(model, adapter, states, make_batch(model, 1).seats[0].cache if seat else None, **options)
        ours.append((run, made(run, tokens)))
    plain = Run(model, adapter, states, **options)
    expected = plain.feed(TOKENS)
    for run, logits in (ours[0], ours[2]):
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=2e-4)
        run.written = plain.written
        agree(run, plain)
    again, later = plain.feed(block([9, 4], True)), ours[0][0].feed(block([9, 4], True))
    torch.testing.assert_close(later, again, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("index", [1, 2])
def test_a_pass_never_waits_for_the_device(model, capture, index):
    made = PromptPass(model, kv_shapes(model.backbone), 16, model.adapters[index])
    never_waits(made._pass)


def test_what_a_captured_pass_takes(model):
    backbone = model.backbone
    token, sentence = model.adapters[0], make_adapter(backbone, rank=2, memory_write_granularity="sentence_mean")
    assert takes(Run(model), TOKENS) and takes(Run(model, token), TOKENS)
    assert takes(Run(model), block([1] * LENGTHS[-1], True)) and not takes(Run(model), block([1] * 513, True))
    assert not takes(told(model, token, 3)[0], TOKENS)  # behind a KV
    assert takes(Run(model, token), block([1, 2], False)) and takes(Run(model, model.adapters[2]), TOKENS)
    for options in ({"writes": False}, {"strength": 0.5}, {"layers_off": [next(iter(token.layers))]}):
        assert takes(Run(model, token, **options), TOKENS)
    assert not takes(Run(model, sentence), TOKENS)
    traced = Run(model, token)
    traced.binding.trace = TokenTrace()
    assert not takes(traced, TOKENS)


def test_passes_are_made_once_and_not_without_end(model, capture, monkeypatch):
    made = Prompts(model, kv_shapes(model.backbone))
    monkeypatch.setattr(prompts, "LENGTHS", (16, 32))
    monkeypatch.setattr(prompts, "MOST", 3)
    first = made.get(None, 9)
    assert made.get(None, 16) is first is not made.get(None, 17)
    whole, half = (Run(model, model.adapters[0], strength=strength).binding for strength in (1.0, 0.5))
    assert made.get(whole, 9) is made.get(whole, 8)
    assert made.get(None, 1) is first
    assert made.get(half, 9) is not made.get(whole, 9)
    assert len(made._made) == 3 and made.get(None, 9) is first


def test_a_pass_that_is_wrong_is_not_used(model, capture, monkeypatch):
    made = PromptPass(model, kv_shapes(model.backbone), 16, model.adapters[0])
    made._results[0].fill_(0)
    monkeypatch.setattr(made._graph, "replay", lambda: None)
    with pytest.raises(ValueError, match="differs from a plain one by .* of the largest number"):
        made.check()


@pytest.mark.parametrize(
    ("fault", "later"), [(torch.OutOfMemoryError, True), (SessionError, True), (RuntimeError, False)]
)
def test_without_a_pass_prompts_are_fed_plainly(model, capture, monkeypatch, fault, later, caplog):
    """For now where the device has no memory, for good where it cannot be done; the log says so."""
    decoder = model.decoder
    assert decoder.works()
    monkeypatch.setattr(model, "device", torch.device("cuda", 0))  # as far as the decoder looks
    monkeypatch.setattr(prompts, "PromptPass", lambda *_: (_ for _ in ()).throw(fault("no\nway")))
    assert decoder.prompt(Run(model), TOKENS) is None
    assert later or caplog.messages == ["tiny reads such prompts by plain passes: no."]
    monkeypatch.setattr(prompts, "PromptPass", lambda *_: SimpleNamespace(check=lambda: None))
    assert (decoder.prompt(Run(model), TOKENS) is not None) == later


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["llama", "qwen3", "smollm3"])
def test_on_a_gpu(family):
    backbone = make_backbone(family).to("cuda")
    by_message = make_adapter(backbone, rank=8, memory_write_granularity="message_mean")
    model = stand_in(backbone, make_adapter(backbone, rank=4), by_message)
    for adapter in (None, *model.adapters.values()):
        states = begun(model, adapter) if adapter else None
        ours = Run(model, adapter, states)
        made = model.decoder.prompt(ours, TOKENS)
        assert made is not None
        with torch.no_grad():
            logits = made(ours, TOKENS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model.decoder, "prompt", lambda *_: None)
            plain = Run(model, adapter, states)
            expected = plain.feed(TOKENS)
        torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-3)
        ours.written = plain.written
        agree(ours, plain, 1e-3)
