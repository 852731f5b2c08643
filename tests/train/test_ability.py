"""What a memory costs: perplexity and plain answers, with an empty state and after other talk."""

import math

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.train.ability import main, measure, perplexity, talk_state

TEXTS = ["The name of the dog is Rex.", "I am fine, thank you. How are you?", "The sea"]


def adapter_of(tiny, std, **config):
    torch.manual_seed(2)
    adapter = new_adapter(tiny.backbone, HFDeltaMemConfig(rank=4, alpha=8.0, beta_bias_init=0.0, **config))
    with torch.no_grad():
        for name, parameter in adapter.named_parameters():
            if "delta_" in name:
                parameter.normal_(std=std) if std else parameter.zero_()
    return adapter


def test_perplexity_by_hand(tiny):
    ids = torch.tensor([tiny.chat.start + tiny.chat.text(TEXTS[0])])
    with torch.no_grad():
        given = tiny.backbone(ids).logits[0, :-1].log_softmax(-1)
    expected = math.exp(-given[range(ids.shape[1] - 1), ids[0, 1:]].mean())
    assert perplexity(tiny, None, TEXTS[:1], {}) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("write", ["token", "message_mean"])
def test_steering_of_nothing_costs_nothing_and_rows_do_not_meet(tiny, write):
    base = perplexity(tiny, None, TEXTS, {})
    idle, loud = (adapter_of(tiny, std, memory_write_granularity=write) for std in (0.0, 1.0))
    assert perplexity(tiny, idle, TEXTS, talk_state(tiny, idle, 60)) == pytest.approx(base, rel=1e-4)
    states = talk_state(tiny, loud, 60)
    alone = perplexity(tiny, loud, TEXTS, states, batch=1)
    assert perplexity(tiny, loud, TEXTS, states) == pytest.approx(alone, rel=1e-3)
    assert abs(alone / base - 1) > 0.01


def test_every_column_is_measured(tiny):
    found = measure(tiny, {"TSW": adapter_of(tiny, 0.1)}, TEXTS)
    assert list(found) == ["base", "TSW, empty state", "TSW, after 2,000 tokens"]
    assert all(row["perplexity"] > 1 and 0 <= row["answers"] <= 1 for row in found.values())


def test_text_that_is_not_there_is_a_sentence(tiny_model_folder, tiny_adapter_folder, tmp_path, capsys):
    absent = str(tmp_path / "absent.json")
    options = ["--model", str(tiny_model_folder), "--adapter", str(tiny_adapter_folder), "--text", absent]
    assert main(options) == 1
    assert "absent.json" in capsys.readouterr().err
