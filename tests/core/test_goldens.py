"""The recorded cases: outputs and states to 1e-4 under every backend, padded or not, in one pass or many."""

import pytest
import torch

from deltamem.core import (
    get_delta_mem_online_state,
    load_delta_mem_adapter,
    set_delta_mem_write_enabled,
    set_delta_mem_write_message_ids,
)

from .golden import CASES, adapter_folder, load_base, load_golden

pytestmark = [pytest.mark.parametrize("attention", ["eager", "sdpa"])]


@pytest.fixture
def open_case(attention):
    def load(case):
        model = load_base(case, attention)
        load_delta_mem_adapter(model, adapter_folder(case))
        return model, load_golden(case)

    with torch.no_grad():
        yield load


def check_state(model, golden, stage):
    states = get_delta_mem_online_state(model)
    prefix = f"state.{stage}."
    recorded = {name.removeprefix(prefix): tensor for name, tensor in golden.items() if name.startswith(prefix)}
    assert states.keys() == recorded.keys()
    for name, state in recorded.items():
        torch.testing.assert_close(states[name], state, atol=1e-4, rtol=0)


def check_logits(logits, recorded):
    torch.testing.assert_close(logits, recorded, atol=1e-4, rtol=0)


def run_second_and_readonly(model, golden, cache):
    set_delta_mem_write_message_ids(model, golden.get("write_message_ids_2"))
    check_logits(model(golden["input_ids_2"], past_key_values=cache).logits, golden["logits.second"])
    check_state(model, golden, "second")
    set_delta_mem_write_enabled(model, False)
    check_logits(model(golden["input_ids_2"], use_cache=False).logits, golden["logits.readonly"])
    check_state(model, golden, "readonly")


@pytest.mark.parametrize("case", CASES)
def test_padded(open_case, case):
    model, golden = open_case(case)
    set_delta_mem_write_message_ids(model, golden.get("write_message_ids"))
    mask = golden["attention_mask"]
    logits = model(golden["input_ids"], attention_mask=mask).logits
    check_logits(logits[mask.bool()], golden["logits.padded"][mask.bool()])
    check_state(model, golden, "padded")


@pytest.mark.parametrize("case", CASES)
def test_two_passes_then_readonly(open_case, case):
    model, golden = open_case(case)
    set_delta_mem_write_message_ids(model, golden.get("write_message_ids"))
    output = model(golden["input_ids"], use_cache=True)
    check_logits(output.logits, golden["logits.first"])
    check_state(model, golden, "first")
    run_second_and_readonly(model, golden, output.past_key_values)


@pytest.mark.parametrize("case", [case for case in CASES if "ssw" not in case])
@pytest.mark.parametrize("chunks", [(7, 16), (1,) * 23], ids=["two chunks", "token by token"])
def test_chunked_prefill(open_case, case, chunks):
    model, golden = open_case(case)
    logits, cache, done = [], None, 0
    for size in chunks:
        done += size
        mask = torch.ones(2, done, dtype=torch.long)
        output = model(
            golden["input_ids"][:, done - size : done], attention_mask=mask, past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        logits.append(output.logits)
    check_logits(torch.cat(logits, dim=1), golden["logits.first"])
    check_state(model, golden, "first")
    run_second_and_readonly(model, golden, cache)


@pytest.mark.parametrize("case", [case for case in CASES if "ssw" not in case])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_greedy(open_case, case, cache):
    model, golden = open_case(case)
    ids = model.generate(
        golden["input_ids"][:1],
        attention_mask=torch.ones(1, 23, dtype=torch.long),
        max_new_tokens=6,
        min_new_tokens=6,
        do_sample=False,
        cache_implementation=cache,
    )
    assert ids[:, 23:].tolist() == golden["greedy"].tolist()
    check_state(model, golden, "greedy")  # the last token was produced but never went in
