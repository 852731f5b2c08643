"""Bindings: explicit, separate, snapshots for free, and nothing left behind."""

import threading

import pytest
import torch

from deltamem.core import (
    Binding,
    GateSums,
    HFDeltaMemConfig,
    MaskError,
    StateError,
    attach_delta_mem,
    bind,
    get_delta_mem_online_state,
    hook_backbone,
    new_adapter,
)
from deltamem.core.hooks import _PASS

from .tiny import make_adapter, make_ids, make_model


@pytest.fixture
def model():
    model = make_model().requires_grad_(False)
    hook_backbone(model)
    return model


def run(model, binding, ids=None, **kwargs):
    with torch.no_grad(), bind(model, binding):
        return model(make_ids() if ids is None else ids, **kwargs).logits


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_none_is_the_backbone_alone(model):
    plain = make_model()(make_ids()).logits
    attach_delta_mem(model, make_adapter(model))
    assert torch.equal(run(model, None), plain)
    assert get_delta_mem_online_state(model) == {}


def test_unhooked_model_is_refused():
    other = make_model()
    with pytest.raises(StateError, match="hook_backbone"), bind(other, None):
        pass


def test_old_states_are_snapshots(model):
    binding = Binding(make_adapter(model))
    run(model, binding)
    kept, copies = binding.states, {name: state.clone() for name, state in binding.states.items()}
    after = run(model, binding)
    assert same(kept, copies)
    assert not same(binding.states, kept)
    binding.states = kept
    assert torch.equal(run(model, binding), after)


def test_interleaved_bindings_never_mix(model):
    adapters = [make_adapter(model, seed, num_state_heads=heads) for seed, heads in ((1, 1), (2, 4))]
    ids = [[make_ids(seed=10 * i + step) for step in range(3)] for i in range(2)]

    def fresh():
        return [Binding(adapter) for adapter in adapters]

    alone = fresh()
    expected = [[run(model, binding, x) for x in ids[i]] for i, binding in enumerate(alone)]
    mixed = fresh()
    for step in range(3):
        for i, binding in enumerate(mixed):
            assert torch.equal(run(model, binding, ids[i][step]), expected[i][step])
    with torch.no_grad(), bind(model, fresh()[0]), bind(model, (inner := fresh()[1])):
        assert torch.equal(model(ids[1][0]).logits, expected[1][0])
    assert inner.states
    assert all(same(a.states, b.states) for a, b in zip(alone, mixed, strict=True))


def test_threads_never_mix(model):
    adapters = [make_adapter(model, seed) for seed in range(4)]
    ids = [make_ids(seed=i) for i in range(4)]

    def talk(i, results):
        binding = Binding(adapters[i])
        results[i] = [run(model, binding, ids[i]) for _ in range(6)], binding.states

    expected, got = {}, {}
    for i in range(4):
        talk(i, expected)
    threads = [threading.Thread(target=talk, args=(i, got)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert all(torch.equal(a, b) for a, b in zip(got[i][0], expected[i][0], strict=True))
        assert same(got[i][1], expected[i][1])


def test_another_thread_does_not_inherit(model):
    seen = []
    with bind(model, Binding(make_adapter(model))):
        plain = make_model()(make_ids()).logits
        thread = threading.Thread(target=lambda: seen.append(model(make_ids()).logits))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], plain)


def test_failed_pass_leaves_nothing(model):
    binding = Binding(make_adapter(model), gates=GateSums())
    run(model, binding)
    states, written = binding.states, dict(binding.gates.written)
    expected = run(model, Binding(binding.adapter, states, dtype=binding.dtype))

    def fail(*_):
        raise RuntimeError("broken layer")

    handle = model.model.layers[1].mlp.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken layer"):
        run(model, binding)
    handle.remove()
    assert _PASS.get() is None
    assert binding.states is states
    assert same(binding.gates.written, written)
    assert torch.equal(run(model, binding), expected)


def test_valid_tokens_read_and_write_as_if_alone(model):
    """Left padding, by mask or by binding, changes nothing for the real tokens; padding NaN never reaches the state."""
    adapter = make_adapter(model, delta_heads=["q", "k", "v", "o"])
    ids = make_ids(1, 7)
    plain = Binding(adapter)
    expected = run(model, plain, ids)
    padded = torch.cat((torch.zeros(1, 4, dtype=torch.long), ids), dim=1)
    mask = torch.tensor([[0] * 4 + [1] * 7])
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    by_mask = Binding(adapter)
    out = run(model, by_mask, padded, attention_mask=mask, position_ids=positions)
    torch.testing.assert_close(out[:, 4:], expected, atol=1e-4, rtol=0)
    for name, state in plain.states.items():
        torch.testing.assert_close(by_mask.states[name], state, atol=1e-4, rtol=0)
    by_binding = Binding(adapter, valid=mask.bool())
    run(model, by_binding, padded, attention_mask=mask, position_ids=positions)
    assert same(by_binding.states, by_mask.states)


def test_a_row_without_valid_tokens_is_untouched(model):
    binding = Binding(make_adapter(model))
    run(model, binding)
    before = binding.states
    valid = torch.tensor([[True] * 11, [False] * 11])
    binding.valid = valid
    run(model, binding)
    for name, state in before.items():
        assert torch.equal(binding.states[name][1], state[1])
        assert not torch.equal(binding.states[name][0], state[0])


def test_write_mask_reads_without_writing(model):
    adapter = make_adapter(model)
    first, rest = make_ids(tokens=6), make_ids(tokens=5, seed=3)
    only = Binding(adapter)
    run(model, only, first)
    both = Binding(adapter, write_mask=torch.tensor([[True] * 6 + [False] * 5] * 2))
    with_reads = run(model, both, torch.cat((first, rest), dim=1))
    for name, state in only.states.items():
        torch.testing.assert_close(both.states[name], state, atol=1e-5, rtol=1e-5)
    without = run(model, None, torch.cat((first, rest), dim=1))
    assert not torch.allclose(with_reads[:, 6:], without[:, 6:])


@pytest.mark.parametrize("granularity", ["token", "message_mean"])
def test_write_mask_never_writes_padding(model, granularity):
    adapter = make_adapter(model, memory_write_granularity=granularity)
    ids, write = make_ids(), torch.ones(2, 11, dtype=torch.bool)
    write[:, 8:] = False
    valid = torch.ones(2, 11, dtype=torch.bool)
    valid[1, :5] = False
    messages = None if granularity == "token" else torch.zeros(2, 11, dtype=torch.long)
    states = []
    for mask in (write, write & valid):
        binding = Binding(adapter, valid=valid, write_mask=mask, message_ids=messages)
        run(model, binding, ids)
        states.append(binding.states)
    assert same(*states)


def test_reading_makes_no_state(model):
    """Zeros that were only read bind nobody to their batch size."""
    binding = Binding(make_adapter(model), write=False)
    run(model, binding, make_ids(2))
    assert binding.states == {}
    run(model, binding, make_ids(3))


def test_strength(model):
    adapter = make_adapter(model, delta_o_rmsnorm=True)
    plain = run(model, None)
    assert torch.equal(run(model, Binding(adapter, strength=0.0)), plain)
    full, half = run(model, Binding(adapter)), run(model, Binding(adapter, strength=0.5))
    assert not torch.equal(full, half)
    assert 0 < (half - plain).norm() < (full - plain).norm()


def test_gates_are_means_over_written_tokens(model):
    adapter = make_adapter(model)
    ids = make_ids()
    sums = GateSums()
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, :4] = 0
    binding = Binding(adapter, gates=sums)
    run(model, binding, ids, attention_mask=mask)
    run(model, binding, ids[:, :1])
    name = "model.layers.0.self_attn"
    assert sums.written[name].tolist() == [12.0, 8.0]
    x = model.model.layers[0].input_layernorm(model.model.embed_tokens(ids))
    layer = adapter.layers[name]
    beta = torch.sigmoid(x @ layer.beta_proj.T + layer.beta_bias)
    expected = torch.stack([(beta[0].sum(0) + beta[0, 0]) / 12, (beta[1, 4:].sum(0) + beta[1, 0]) / 8])
    beta_mean, lambda_mean = sums.means()
    torch.testing.assert_close(beta_mean[name][:, 0], expected)
    torch.testing.assert_close(lambda_mean[name][:, 0], 1 - expected)


def test_gates_of_a_pass_without_a_mask(model):
    binding = Binding(make_adapter(model, num_state_heads=4), gates=GateSums())
    run(model, binding)
    assert all(written.tolist() == [11.0, 11.0] for written in binding.gates.written.values())
    assert all(((mean > 0) & (mean < 1)).all() for mean in binding.gates.means()[0].values())


def test_nothing_written_gives_nan_means(model):
    binding = Binding(make_adapter(model), valid=torch.tensor([[True] * 11, [False] * 11]), gates=GateSums())
    run(model, binding)
    beta, _ = binding.gates.means()
    assert all(mean[1].isnan().all() and mean[0].isfinite().all() for mean in beta.values())


def test_masks_that_cannot_be_read(model):
    binding = Binding(make_adapter(model))
    causal = torch.ones(11, 11).tril().bool()[None, None].expand(2, 1, 11, 11)
    with pytest.raises(MaskError, match="4-D tensor.*valid="):
        run(model, binding, attention_mask=causal)
    assert not binding.states
    binding.valid = torch.ones(2, 11, dtype=torch.bool)
    run(model, binding, attention_mask=causal)
    assert binding.states
    binding.valid = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(MaskError, match=r"\[2, 3\].*\[2, 11\]"):
        run(model, binding)
    binding.valid = None
    with pytest.raises(MaskError, match=r"\[2, 5\].*\[2, 11\]"):
        run(model, binding, attention_mask=torch.ones(2, 5))


@pytest.mark.parametrize("alone", [True, False])
def test_a_noted_mask_serves_its_own_pass_only(model, alone):
    """generate() notes its 2-D masks; none of them is left for a later pass with a mask that cannot be read."""
    binding = Binding(make_adapter(model))
    with torch.no_grad(), bind(model, None if alone else binding):
        model.generate(make_ids(), max_new_tokens=3, do_sample=False, cache_implementation="static")
    causal = torch.ones(11, 11).tril().bool()[None, None].expand(2, 1, 11, 11)
    with pytest.raises(MaskError, match="4-D tensor"):
        run(model, binding, attention_mask=causal)


def test_positional_mask_counts(model):
    adapter, ids = make_adapter(model), make_ids()
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[:, :5] = 0
    named, positional = Binding(adapter), Binding(adapter)
    run(model, named, attention_mask=mask)
    with torch.no_grad(), bind(model, positional):
        model.model(ids, mask)
    assert same(named.states, positional.states)


def test_gradients_through_several_passes(model):
    """Written in one pass, asked in another: training finds weights that carry the answer over."""
    torch.manual_seed(0)
    adapter = new_adapter(model, HFDeltaMemConfig(output_init="base_slice", num_state_heads=2))
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=2e-2)
    facts = torch.tensor([[5, 9], [5, 21]])
    question, answers = torch.tensor([[7], [7]]), torch.tensor([9, 21])
    losses = []
    for _ in range(60):
        binding = Binding(adapter, gates=GateSums())
        with bind(model, binding):
            model(facts)
            logits = model(question).logits[:, -1]
        beta = torch.stack([mean.mean() for mean in binding.gates.means()[0].values()]).mean()
        loss = torch.nn.functional.cross_entropy(logits, answers) + 0.01 * (beta - 0.05) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in adapter.parameters())
    assert losses[-1] < 0.3 < losses[0]
    with torch.no_grad():
        frozen = Binding(adapter.requires_grad_(False))
        run(model, frozen, facts)
        assert run(model, frozen, question)[:, -1].argmax(-1).tolist() == answers.tolist()


def test_frozen_weights_may_still_be_changed(model):
    """The joined projections of a frozen adapter follow its weights."""
    adapter, other = make_adapter(model), make_adapter(model, seed=2)
    run(model, Binding(adapter))
    adapter.load_tensors(other.state_tensors())
    assert torch.equal(run(model, Binding(adapter)), run(model, Binding(other)))


def test_gradient_checkpointing_is_refused(model):
    trained = make_model().train()
    hook_backbone(trained)
    getattr(trained, "activation_checkpointing_enable", trained.gradient_checkpointing_enable)()
    with pytest.raises(StateError, match="turn gradient checkpointing off"):
        with bind(trained, Binding(make_adapter(trained))):
            trained(make_ids())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_backbone(dtype):
    """States are float32, and the result is as near to float32 as the backbone alone is."""
    low, full = make_model(dtype=dtype), make_model()
    full.load_state_dict(low.state_dict())
    for model in (low, full):
        hook_backbone(model)
    adapter = make_adapter(full)
    one, other = Binding(adapter), Binding(adapter)
    error = (run(low, one).float() - run(full, other)).norm()
    alone = (run(low, None).float() - run(full, None)).norm()
    assert error < 3 * alone
    for name, state in one.states.items():
        assert state.dtype == torch.float32
        assert (state - other.states[name]).norm() < 0.1 * other.states[name].norm()


def test_autocast_leaves_the_memory_in_float32(model):
    adapter = make_adapter(model)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), bind(model, (binding := Binding(adapter))):
        model(make_ids())
    assert all(state.dtype == torch.float32 for state in binding.states.values())
