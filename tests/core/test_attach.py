"""Attaching changes nothing but what it says, detaching gives the backbone back, on any backbone."""

import copy

import pytest
import torch

from deltamem.core import (
    AdapterError,
    Binding,
    ConfigError,
    HFDeltaMemConfig,
    StateError,
    attach_delta_mem,
    bind,
    detach_delta_mem,
    get_delta_mem_online_state,
    hook_backbone,
    new_adapter,
)

from .golden import load_base
from .tiny import FAMILIES, make_adapter, make_ids, make_model


def logits(model, ids=None, **kwargs):
    with torch.no_grad():
        return model(make_ids() if ids is None else ids, **kwargs).logits


def hook_count(model):
    return sum(
        len(hooks)
        for module in model.modules()
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._forward_hooks_with_kwargs,
            module._forward_pre_hooks_with_kwargs,
            module._forward_hooks_always_called,
        )
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_attach_run_detach(family):
    model = make_model(family)
    before = logits(model)
    parameters = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    attributes = set(vars(model)) | set(vars(model.model))

    names = attach_delta_mem(model, make_adapter(model, delta_heads=["q", "k", "v", "o"]))
    assert names == [f"model.layers.{i}.self_attn" for i in range(3)]
    first, second = logits(model), logits(model)
    assert not torch.equal(first, before)
    assert not torch.equal(second, first), "the state carries over between passes"

    detach_delta_mem(model)
    assert torch.equal(logits(model), before)
    assert hook_count(model) == 0
    assert set(vars(model)) | set(vars(model.model)) == attributes
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == parameters


def test_smollm3_too():
    model = load_base("smollm3_msw", "sdpa")
    before = logits(model)
    attach_delta_mem(model, make_adapter(model))
    assert not torch.equal(logits(model), before)
    detach_delta_mem(model)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_zero_adapter_is_the_backbone(dtype):
    model = make_model(dtype=dtype)
    before = logits(model)
    attach_delta_mem(model, HFDeltaMemConfig(delta_heads=["q", "k", "v", "o"]))
    assert torch.equal(logits(model), before)
    assert all(state.any() for state in get_delta_mem_online_state(model).values()), "it does write"


def test_base_weights_are_never_copied():
    """Hooking and binding several adapters adds no parameter but theirs, and moves none of the backbone's."""
    model = make_model()
    places = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    adapters = [make_adapter(model, seed) for seed in (1, 2)]
    hook_backbone(model)
    for adapter in adapters:
        with bind(model, Binding(adapter)):
            logits(model)
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == places

    attach_delta_mem(model, adapters[0])
    after = dict(model.named_parameters())
    added = {name for name in after if name not in places}
    assert all(after[name].data_ptr() == place for name, place in places.items())
    assert all(".delta_mem." in name for name in added)
    assert len({parameter.data_ptr() for parameter in after.values()}) == len(after)
    held = {tensor.data_ptr() for adapter in adapters for tensor in adapter.parameters()}
    assert not held & set(places.values())


def test_fresh_attach_is_trainable_and_float32():
    model = make_model(dtype=torch.bfloat16)
    attach_delta_mem(model, HFDeltaMemConfig(output_init="base_slice"))
    layer = model.model.layers[0].self_attn.delta_mem
    model.to(torch.float16)
    assert model.model.layers[0].self_attn.q_proj.weight.dtype == torch.float16
    for name, parameter in layer.named_parameters():
        assert parameter.requires_grad and parameter.dtype == torch.float32, name
    columns = layer.delta_q_proj.norm(dim=0)
    torch.testing.assert_close(columns, torch.full_like(columns, 0.05))
    assert not layer.beta_proj.any()
    assert (layer.beta_bias == -1.5).all()


def test_fresh_uncoupled_gates_start_as_coupled_ones():
    layer = new_adapter(make_model(), HFDeltaMemConfig(couple_lambda=False)).layers["model.layers.0.self_attn"]
    assert not layer.lambda_proj.any() and torch.equal(layer.lambda_bias, -layer.beta_bias)


def test_casting_the_backbone_leaves_adapter_numbers_alone():
    model = make_model()
    adapter = make_adapter(model)
    kept = {name: tensor.clone() for name, tensor in adapter.state_tensors().items()}
    attach_delta_mem(model, adapter)
    model.to(torch.bfloat16).half()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in adapter.state_tensors().items())


@pytest.mark.parametrize("heads", [1, 4])
def test_base_slice_repeats_for_state_heads_and_wide_ranks(heads):
    model = make_model()
    config = {"rank": 12, "num_state_heads": heads, "output_init": "base_slice", "delta_heads": ["q", "k", "v", "o"]}
    layer = new_adapter(model, HFDeltaMemConfig(**config)).layers["model.layers.1.self_attn"]
    source = model.model.layers[1].self_attn.k_proj.weight[:, :8]
    unit = 0.05 * source / source.norm(dim=0)
    torch.testing.assert_close(layer.delta_k_proj[:, :8], unit)
    torch.testing.assert_close(layer.delta_k_proj[:, 8:12], unit[:, :4])
    if heads > 1:
        torch.testing.assert_close(layer.delta_k_proj[:, 12:24], layer.delta_k_proj[:, :12])


def test_target_layers():
    model = make_model()
    assert attach_delta_mem(model, HFDeltaMemConfig(target_layers=[2, 0])) == [
        "model.layers.0.self_attn",
        "model.layers.2.self_attn",
    ]
    assert "delta_mem" not in model.model.layers[1].self_attn._modules


def test_attach_again_replaces():
    model = make_model()
    attach_delta_mem(model, make_adapter(model))
    logits(model)
    attach_delta_mem(model, make_adapter(model, seed=2, target_layers=[1]))
    assert get_delta_mem_online_state(model) == {}
    logits(model)
    assert list(get_delta_mem_online_state(model)) == ["model.layers.1.self_attn"]
    assert "delta_mem" not in model.model.layers[0].self_attn._modules


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"target_modules": ["attention"]}, "attention.*match no attention module.*self_attn"),
        ({"target_layers": [1, 9]}, r"\[9\] do not exist.*3 layers"),
        ({"output_init": "random_slice"}, "random_slice.*zero"),
    ],
)
def test_refused_attach_leaves_the_model_alone(config, message):
    model = make_model()
    before = logits(model)
    with pytest.raises(ConfigError, match=message):
        attach_delta_mem(model, HFDeltaMemConfig(**config))
    assert hook_count(model) == 0
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("config", [{"rank": 4}, None])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(ConfigError, match="give an HFDeltaMemConfig"):
        attach_delta_mem(make_model(), config)


def test_other_backbones_are_refused():
    with pytest.raises(ConfigError, match="no attention module with q_proj"):
        hook_backbone(torch.nn.Linear(2, 2))
    small, wide, deep = make_model(), make_model(hidden=48), make_model(layers=5)
    with pytest.raises(AdapterError, match="another backbone; widths"):
        attach_delta_mem(small, make_adapter(wide))
    with pytest.raises(AdapterError, match="no model.layers.3.self_attn"):
        attach_delta_mem(small, make_adapter(deep))
    hook_backbone(small)
    with pytest.raises(StateError, match="no model.layers.3.self_attn"), bind(small, Binding(make_adapter(deep))):
        pass


def test_one_name_for_a_module():
    model = make_model()
    hook_backbone(model)
    with pytest.raises(ConfigError, match="outer or inner"):
        attach_delta_mem(model.model, HFDeltaMemConfig())


def test_a_copied_model_has_a_memory_of_its_own():
    model = make_model()
    attach_delta_mem(model, make_adapter(model))
    logits(model)
    twin = copy.deepcopy(model)
    states = get_delta_mem_online_state(model)
    expected = logits(model)
    assert torch.equal(logits(twin), expected)
    logits(twin)
    detach_delta_mem(twin)
    assert hook_count(twin) == 0
    now = get_delta_mem_online_state(model)
    assert any(not torch.equal(now[name], state) for name, state in states.items())
    assert hook_count(model) > 0
