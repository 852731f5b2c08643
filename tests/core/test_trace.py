"""The record of single tokens: right numbers for every way of writing, and nothing at all when it is off."""

import pytest
import torch

from deltamem.core import Binding, GateSums, TokenTrace, bind, hook_backbone

from .tiny import make_adapter, make_ids, make_model

NAME = "model.layers.1.self_attn"


@pytest.fixture
def model():
    model = make_model().requires_grad_(False)
    hook_backbone(model)
    return model


def run(model, binding, ids):
    with torch.no_grad(), bind(model, binding):
        return model(ids).logits


@pytest.mark.parametrize("heads", [1, 3])
def test_token_gates_average_to_the_gate_sums(model, heads):
    binding = Binding(make_adapter(model, num_state_heads=heads), gates=GateSums(), trace=TokenTrace())
    run(model, binding, make_ids())
    run(model, binding, make_ids(tokens=4, seed=1))
    means, _ = binding.gates.means()
    assert [tuple(part.shape) for part in binding.trace.beta[NAME]] == [(2, 11), (2, 4)]
    for name, mean in means.items():
        tokens = torch.cat(binding.trace.beta[name], dim=1)
        torch.testing.assert_close(tokens.mean(dim=1), mean.mean(dim=(1, 2)))


def test_tokens_that_are_not_written_have_no_gate(model):
    written = torch.tensor([[True] * 6 + [False] * 5] * 2)
    binding = Binding(make_adapter(model), write_mask=written, trace=TokenTrace())
    run(model, binding, make_ids())
    assert torch.equal(binding.trace.beta[NAME][0].isnan(), ~written)
    binding.write, binding.write_mask = False, None
    run(model, binding, make_ids())
    assert binding.trace.beta[NAME][1].isnan().all()
    assert (binding.trace.influence[NAME][1] > 0).all()


def test_tokens_of_a_segment_share_its_gate(model):
    adapter = make_adapter(model, memory_write_granularity="message_mean")
    ids = torch.tensor([[0, 0, 0, -1, -1, 2, 2, 2, 2, 2, -1], [2, 2, 2, 2, 2, 2, 2, 2, 2, -1, 0]])
    binding = Binding(adapter, message_ids=ids, gates=GateSums(), trace=TokenTrace())
    run(model, binding, make_ids())
    (beta,) = binding.trace.beta[NAME]
    assert torch.equal(beta.isnan(), ids < 0)
    mean = binding.gates.means()[0][NAME].mean(dim=(1, 2))
    for index, (row, marks) in enumerate(zip(beta, ids, strict=True)):
        values = [row[marks == mark] for mark in (0, 2)]
        assert all(torch.equal(value, value[:1].expand_as(value)) for value in values)
        torch.testing.assert_close(torch.stack([value[0] for value in values]).mean(), mean[index])


@pytest.mark.parametrize("options", [{}, {"delta_o_rmsnorm": True}, {"delta_heads": ("q", "v")}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_influence_is_the_share_of_the_correction(options, dtype):
    model = make_model(dtype=dtype).requires_grad_(False)
    hook_backbone(model)
    adapter = make_adapter(model, **options)
    binding = Binding(adapter, strength=0.5, trace=TokenTrace())
    run(model, binding, make_ids())  # the first token of the next pass reads something
    binding.trace = TokenTrace()
    head = "o" if "o" in adapter.config.delta_heads else "q"
    projection = getattr(model.model.layers[1].self_attn, f"{head}_proj")
    own = []
    # Registered after the hooks of the memory: the input is what the projection saw.
    handle = projection.register_forward_hook(
        lambda module, args, out: own.append((torch.nn.functional.linear(args[0], module.weight), out))
    )
    run(model, binding, make_ids(seed=2))
    handle.remove()
    before, after = (x.float() for x in own[0])
    expected = (after - before).norm(dim=-1) / before.norm(dim=-1)
    (found,) = binding.trace.influence[NAME]
    tolerance = 1e-4 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(found, expected, atol=0, rtol=tolerance)


def test_tracing_changes_nothing(model):
    adapter, ids = make_adapter(model), make_ids()
    plain, traced = Binding(adapter), Binding(adapter, trace=TokenTrace())
    for _ in range(2):
        assert torch.equal(run(model, plain, ids), run(model, traced, ids))
    assert all(torch.equal(plain.states[name], state) for name, state in traced.states.items())


def test_a_failed_pass_leaves_no_record(model):
    binding = Binding(make_adapter(model), trace=TokenTrace())
    handle = model.model.layers[2].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(model, binding, make_ids())
    handle.remove()
    assert not binding.trace.beta and not binding.trace.influence


def test_nothing_is_measured_unless_asked(model, monkeypatch):
    def fail(*_):
        raise AssertionError

    monkeypatch.setattr("deltamem.core.hooks.influence", fail)
    monkeypatch.setattr("deltamem.core.hooks.token_gates", fail)
    run(model, Binding(make_adapter(model)), make_ids())
