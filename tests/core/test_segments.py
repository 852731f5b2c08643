"""Writes that cover several tokens: the ids of messages and sentences."""

import pytest
import torch

from deltamem.core import (
    StateError,
    attach_delta_mem,
    get_delta_mem_online_state,
    reset_delta_mem_states,
    set_delta_mem_write_message_ids,
    set_delta_mem_write_sentence_ids,
)

from .tiny import make_adapter, make_ids, make_model, same


@pytest.fixture
def segments():
    """A model that writes segments of the given granularity."""

    def make(granularity):
        model = make_model()
        attach_delta_mem(model, make_adapter(model, memory_write_granularity=granularity))
        return model

    with torch.no_grad():
        yield make


def test_one_write_per_id_in_order(segments):
    """Messages in one pass: all tokens read the old state; writes are those of the message means, one by one."""
    model = segments("message_mean")
    ids = make_ids(1, 6)
    set_delta_mem_write_message_ids(model, torch.tensor([[7, 7, -1, 2, 2, 7]]))
    model(ids)
    got = get_delta_mem_online_state(model)["model.layers.0.self_attn"]

    layer = model.model.layers[0].self_attn.delta_mem
    x = model.model.layers[0].input_layernorm(model.model.embed_tokens(ids))[0]
    state = torch.zeros(8, 8)
    for tokens in ([3, 4], [0, 1, 5]):
        mean = x[tokens].mean(0)
        key = torch.tanh(layer.memory_k_proj @ mean)
        key = key / key.norm()
        beta = torch.sigmoid(layer.beta_proj @ mean + layer.beta_bias)
        value = layer.memory_v_proj @ mean
        state = (1 - beta)[:, None] * state + (beta * (value - state @ key))[:, None] * key
    torch.testing.assert_close(got[0], state, atol=1e-5, rtol=1e-5)


def test_rows_may_hold_different_messages(segments):
    model = segments("message_mean")
    ids = torch.tensor([[0, 0, 1, 1, 2, 2], [3, 3, 3, -1, -1, -1]])
    tokens = make_ids(2, 6)
    set_delta_mem_write_message_ids(model, ids)
    model(tokens)
    together = get_delta_mem_online_state(model)
    for row in range(2):
        reset_delta_mem_states(model)
        set_delta_mem_write_message_ids(model, ids[row : row + 1])
        model(tokens[row : row + 1])
        for name, state in get_delta_mem_online_state(model).items():
            torch.testing.assert_close(state[0], together[name][row], atol=1e-5, rtol=1e-5)


def test_ids_of_minus_one_write_nothing(segments):
    model = segments("message_mean")
    set_delta_mem_write_message_ids(model, torch.full((2, 11), -1))
    model(make_ids())
    assert not any(state.any() for state in get_delta_mem_online_state(model).values())


def test_ids_persist_and_decode_steps_write_tokens(segments):
    model = segments("message_mean")
    set_delta_mem_write_message_ids(model, torch.zeros(2, 11, dtype=torch.long))
    model(make_ids())
    after_prompt = get_delta_mem_online_state(model)
    model(make_ids(tokens=1))
    assert not same(get_delta_mem_online_state(model), after_prompt)
    with pytest.raises(StateError, match=r"\[2, 11\].*\[2, 5\]"):
        model(make_ids(tokens=5))
    set_delta_mem_write_message_ids(model, None)
    model(make_ids(tokens=5))


def test_sentences_are_grouped_by_pair(segments):
    model = segments("sentence_mean")
    tokens = make_ids(1, 6)

    def run(messages, sentences):
        reset_delta_mem_states(model)
        set_delta_mem_write_message_ids(model, None if messages is None else torch.tensor([messages]))
        set_delta_mem_write_sentence_ids(model, None if sentences is None else torch.tensor([sentences]))
        model(tokens)
        return get_delta_mem_online_state(model)

    by_pair = run([0, 0, 0, 1, 1, -1], [0, 2, 2, 0, -1, 3])
    assert same(by_pair, run(None, [0, 1, 1, 2, -1, -1]))
    assert not same(by_pair, run(None, [0, 1, 1, 0, -1, -1]))
    assert not same(by_pair, run(None, [0, 1, 1, 1, -1, -1]))


def test_no_ids_means_token_writes(segments):
    model = segments("message_mean")
    tokens = make_ids()
    model(tokens)
    whole = get_delta_mem_online_state(model)
    reset_delta_mem_states(model)
    cache = None
    for t in range(11):
        cache = model(tokens[:, t : t + 1], past_key_values=cache, use_cache=True).past_key_values
    for name, state in get_delta_mem_online_state(model).items():
        torch.testing.assert_close(state, whole[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("ids", [[0, 1], torch.zeros(3, dtype=torch.long), torch.zeros(2, 3), torch.zeros(2, 3) > 0])
def test_odd_ids_are_refused(segments, ids):
    model = segments("message_mean")
    with pytest.raises(StateError, match="integer tensor"):
        set_delta_mem_write_message_ids(model, ids)
