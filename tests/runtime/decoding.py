"""What tests of decoding engines share: tiny backbones of all families in a stand-in for the runtime's model."""

import threading
from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import SmolLM3Config, SmolLM3ForCausalLM

from deltamem.core.attach import hook_backbone
from deltamem.runtime.blocks import block
from deltamem.runtime.decoder.batch import Batch
from deltamem.runtime.decoder.decoder import Decoder, kv_shapes
from deltamem.runtime.decoder.engine import Engine
from deltamem.runtime.decoder.launch import Eager
from deltamem.runtime.engine import Reply, decode
from deltamem.runtime.run import Run
from deltamem.runtime.sampling import Sampling
from tests.core.tiny import make_model

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "smollm3")


def make_backbone(family, dtype=torch.float32, **changes):
    """A random backbone as in tests.core.tiny; SmolLM3 has a layer without positions. changes: of its config."""
    if family != "smollm3":
        backbone = make_model(family, dtype)
        for name, value in ({"sliding_window": None} | changes).items():
            setattr(backbone.config, name, value)
    else:
        torch.manual_seed(0)
        config = SmolLM3Config(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.2,
            no_rope_layers=[1, 0, 1],
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
        backbone = SmolLM3ForCausalLM(config).to(dtype).eval()
    hook_backbone(backbone)
    return backbone.requires_grad_(False)


def stand_in(backbone, *adapters):
    """As much of a runtime Model as runs and engines look at."""
    model = SimpleNamespace(
        name="tiny",
        attention="sdpa",
        backbone=backbone,
        device=backbone.device,
        dtype=backbone.dtype,
        lock=threading.RLock(),
        adapters=dict(enumerate(adapters)),
        adapter=adapters[0] if adapters else None,
        chat=SimpleNamespace(stop_ids=frozenset(), control_ids=frozenset()),
    )
    model.decoder = Decoder(model)
    return model


def make_batch(model, rows, capacity=64, ahead=False):
    """A Batch of plain calls on a new engine with all of the model's adapters. ahead: as on a GPU."""
    engine = Engine(model, kv_shapes(model.backbone), list(model.adapters.values()), rows, capacity)
    return Batch(engine, Eager(engine), ahead)


def told(model, adapter, tokens, cache=None, **options):
    """(Run, last logits) after a prompt."""
    run = Run(model, adapter, cache=cache, **options)
    return run, run.feed(block([(3 + 5 * i) % 61 for i in range(tokens)], True))


def answer(run, logits, seat=None, count=8, temperature=0.0, stop=None):
    """Reply of up to `count` tokens; stop: close after so many events."""
    reply = Reply()
    events = decode(run, logits, reply, Sampling(count, temperature, 0.9, seed=3), 1000, seat)
    for index, _ in enumerate(events):
        if stop is not None and index + 1 >= stop:
            break
    events.close()
    return reply


def agree(run, other, tolerance=2e-4):
    assert run.length == other.length and run.written == other.written
    for name, state in other.states.items():
        torch.testing.assert_close(run.states[name], state, atol=tolerance, rtol=tolerance)
    for a, b in zip(run.cache.layers, other.cache.layers, strict=True):
        torch.testing.assert_close(a.keys, b.keys, atol=tolerance, rtol=tolerance)
        torch.testing.assert_close(a.values, b.values, atol=tolerance, rtol=tolerance)
    if run.binding is not None and other.binding.gates.written:
        for mine, theirs in zip(run.binding.gates.means(), other.binding.gates.means(), strict=True):
            for name, mean in theirs.items():
                torch.testing.assert_close(mine[name], mean, atol=tolerance, rtol=tolerance)


def chat_stream(model):
    model.chat.stream = lambda: type("Stream", (), {"push": lambda _, token: f"{token} ", "flush": lambda _: ""})()


def never_waits(work):
    """work() asks for nothing that makes a GPU's host wait: values read back, shapes that depend on values."""
    seen = set()

    class Calls(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.add(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    with Calls():
        work()
    assert {"mm", "bmm"} & seen
    assert not seen & {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2"}
