"""The functional calls: one memory bound to the model, across plain calls and generate()."""

import pytest
import torch
from transformers import CompileConfig, DynamicCache, StaticCache

from deltamem.core import (
    StateError,
    attach_delta_mem,
    bind,
    collect_delta_mem_state_stats,
    get_delta_mem_online_state,
    load_delta_mem_online_state,
    reset_delta_mem_states,
    set_delta_mem_write_enabled,
)

from .tiny import make_adapter, make_ids, make_model, same

NAME = "model.layers.1.self_attn"


@pytest.fixture(params=[1, 4], ids=["one head", "four heads"])
def model(request):
    model = make_model()
    attach_delta_mem(model, make_adapter(model, num_state_heads=request.param))
    with torch.no_grad():
        yield model


def test_state_carries_over_until_reset(model):
    first = model(make_ids()).logits
    assert not torch.equal(model(make_ids()).logits, first)
    reset_delta_mem_states(model)
    assert get_delta_mem_online_state(model) == {}
    assert torch.equal(model(make_ids()).logits, first)


def test_generate_writes_across_calls(model):
    ids = make_ids(1)
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, min_new_tokens=4, do_sample=False)
    first = get_delta_mem_online_state(model)
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, min_new_tokens=4, do_sample=False)
    assert not same(get_delta_mem_online_state(model), first)


def test_generate_with_static_cache_and_padding(model, monkeypatch):
    """The 2-D mask counts even where generate() turns it into a 4-D one first, and steps are never compiled."""
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("a step was compiled"))
    compiled = CompileConfig()
    compiled._compile_all_devices = True
    ids, mask = make_ids(), torch.ones(2, 11, dtype=torch.long)
    mask[1, :5] = 0
    results = []
    static = {"cache_implementation": "static"}
    for cache in ({}, static, static | {"compile_config": compiled}):
        reset_delta_mem_states(model)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=5, min_new_tokens=5, do_sample=False, **cache)
        results.append((out, get_delta_mem_online_state(model)))
    for out, states in results[1:]:
        assert torch.equal(out, results[0][0])
        for name, state in results[0][1].items():
            torch.testing.assert_close(states[name], state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("whole", [False, True], ids=["mask so far", "whole mask"])
@pytest.mark.parametrize("cache", [DynamicCache, StaticCache])
def test_chunks_find_their_columns_of_the_mask(model, cache, whole):
    """Column j of a 2-D mask is token j of cache and pass together, also where it reaches further than the pass."""
    ids, mask = make_ids(), torch.ones(2, 11, dtype=torch.long)
    mask[1, :5] = 0
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    model(ids, attention_mask=mask, position_ids=positions)
    expected = get_delta_mem_online_state(model)
    reset_delta_mem_states(model)
    kept = cache(config=model.config, **({"max_cache_len": 16} if cache is StaticCache else {}))
    for start, end in ((0, 4), (4, 9), (9, 10), (10, 11)):
        model(
            ids[:, start:end],
            attention_mask=mask if whole else mask[:, :end],
            position_ids=positions[:, start:end],
            past_key_values=kept,
            use_cache=True,
        )
    for name, state in get_delta_mem_online_state(model).items():
        torch.testing.assert_close(state, expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_beams": 2}, "by beam_search"),
        ({"num_beams": 2, "do_sample": True}, "by beam_sample"),
        ({"prompt_lookup_num_tokens": 3}, "by assisted_generation"),
        ({"use_cache": False}, "without a cache"),
    ],
)
def test_generate_refuses_what_would_leave_foreign_writes(model, options, words):
    ids = make_ids(1)
    options = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 4} | options
    with pytest.raises(StateError, match=f"{words} feeds tokens .* turn writes off"):
        model.generate(ids, **options)
    assert get_delta_mem_online_state(model) == {}
    set_delta_mem_write_enabled(model, False)
    assert model.generate(ids, **options).shape[1] > 11
    with bind(model, None):
        model.generate(ids, **options)


def test_generate_from_embeddings(model):
    ids, mask = make_ids(), torch.ones(2, 11, dtype=torch.long)
    mask[1, :5] = 0
    options = {"attention_mask": mask, "max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    expected = model.generate(ids, **options)
    states = get_delta_mem_online_state(model)
    reset_delta_mem_states(model)
    out = model.generate(inputs_embeds=model.get_input_embeddings()(ids), **options)
    assert torch.equal(out, expected[:, 11:])
    assert same(get_delta_mem_online_state(model), states)


def test_gradients_after_inference_mode(model):
    with torch.inference_mode():
        model(make_ids())
    model.model._delta_mem.default.adapter.requires_grad_(True)
    with torch.enable_grad():
        model(make_ids()).logits.sum().backward()
    assert model.model.layers[0].self_attn.delta_mem.memory_v_proj.grad is not None


def test_state_round_trip(model):
    model(make_ids())
    kept = get_delta_mem_online_state(model)
    expected = model(make_ids(seed=3)).logits
    load_delta_mem_online_state(model, kept)
    assert same(get_delta_mem_online_state(model), kept)
    assert torch.equal(model(make_ids(seed=3)).logits, expected)
    load_delta_mem_online_state(model, {})
    assert get_delta_mem_online_state(model) == {}


def test_returned_states_are_copies(model):
    model(make_ids())
    states = get_delta_mem_online_state(model)
    kept = {name: state.clone() for name, state in states.items()}
    for state in states.values():
        state.zero_()
    assert same(get_delta_mem_online_state(model), kept)
    load_delta_mem_online_state(model, (given := {name: state.clone() for name, state in kept.items()}))
    for state in given.values():
        state.zero_()
    assert same(get_delta_mem_online_state(model), kept)


def spoil_states(states, how):
    if how == "missing":
        del states[NAME]
    elif how == "not attached":
        states["model.layers.9.self_attn"] = states[NAME]
    elif how == "expected dense floats":
        states[NAME] = states[NAME][..., :7]
    elif how == r"\[0, ":
        states = {name: state[:0] for name, state in states.items()}
    elif how == "float32.*expected dense":
        states[NAME] = states[NAME].to_sparse()
    elif how == "is list":
        states[NAME] = states[NAME].tolist()
    elif how == "has batch 1, the others 2":
        states[NAME] = states[NAME][:1]
    elif how == "not finite":
        states[NAME][0] = float("nan")
    elif how == "holds values":
        states[NAME] = states[NAME].double() * 1e300
    return states


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "not attached",
        "expected dense floats",
        r"\[0, ",
        "float32.*expected dense",
        "is list",
        "has batch 1, the others 2",
        "not finite",
        "holds values",
    ],
)
def test_unfit_states_are_refused_before_anything_changes(model, how):
    model(make_ids())
    kept = get_delta_mem_online_state(model)
    with pytest.raises(StateError, match=how):
        load_delta_mem_online_state(model, spoil_states(get_delta_mem_online_state(model), how))
    assert same(get_delta_mem_online_state(model), kept)


def test_states_are_a_dict(model):
    model(make_ids())
    with pytest.raises(StateError, match="NoneType; give the dict"):
        load_delta_mem_online_state(model, None)
    assert get_delta_mem_online_state(model)


def test_writes_off_reads_the_fixed_state(model):
    model(make_ids())
    kept = get_delta_mem_online_state(model)
    set_delta_mem_write_enabled(model, False)
    ids = make_ids(seed=5)
    whole = model(ids).logits
    assert torch.equal(model(ids).logits, whole)
    assert same(get_delta_mem_online_state(model), kept)
    set_delta_mem_write_enabled(model, True)
    model(ids)
    assert not same(get_delta_mem_online_state(model), kept)


def test_live_state_needs_the_same_batch(model):
    model(make_ids(2))
    kept = get_delta_mem_online_state(model)
    with pytest.raises(StateError, match=r"shape \[2, .*needs \[3, .*reset_delta_mem_states"):
        model(make_ids(3))
    assert same(get_delta_mem_online_state(model), kept)
    reset_delta_mem_states(model)
    model(make_ids(3))


def test_live_state_needs_the_same_dtype(model):
    model(make_ids())
    model.to(torch.bfloat16)
    with pytest.raises(StateError, match="torch.float32, which now runs in torch.bfloat16.*reset_delta_mem_states"):
        model(make_ids())


def test_live_state_needs_the_same_device(model):
    model(make_ids())
    binding = model.model._delta_mem.default
    binding.states = {name: state.to("meta") for name, state in binding.states.items()}
    with pytest.raises(StateError, match="device meta, the pass runs on cpu.*reset_delta_mem_states"):
        model(make_ids())


def test_stats(model):
    assert collect_delta_mem_state_stats(model) == {}
    model(make_ids())
    stats = collect_delta_mem_state_stats(model)
    state = get_delta_mem_online_state(model)[NAME]
    assert list(stats) == [f"model.layers.{i}.self_attn" for i in range(3)]
    assert stats[NAME]["batch"] == 2
    assert stats[NAME]["max_abs"] == state.abs().max()
    assert stats[NAME]["norm"] == pytest.approx(float(state.square().sum(dim=(-2, -1)).sqrt().mean()), rel=1e-5)


def test_nothing_attached_is_named():
    for call in (reset_delta_mem_states, get_delta_mem_online_state, collect_delta_mem_state_stats):
        with pytest.raises(StateError, match="attach_delta_mem"):
            call(make_model())
