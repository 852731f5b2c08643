"""Parts of a memory switched off: what they did is gone, the rest is as it was."""

import pytest
import torch

from deltamem.core import Binding, HFDeltaMemConfig, bind, new_adapter
from deltamem.train import ablation, recall

from .test_facts import WORDS


@pytest.fixture()
def adapter(tiny):
    torch.manual_seed(5)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=2, output_init="base_slice")
    return new_adapter(tiny.backbone, config).requires_grad_(False)


def run(tiny, adapter):
    binding = Binding(adapter)
    with torch.no_grad(), bind(tiny.backbone, binding):
        logits = tiny.backbone(torch.arange(5, 25)[None]).logits
    return logits, binding.states


@pytest.mark.parametrize("parts", [{}, {"states": (0, 1)}, {"heads": ("q", "o")}, {"layers": range(9)}])
def test_all_parts_off_is_the_backbone_alone_that_still_writes(tiny, adapter, parts):
    logits, states = run(tiny, ablation.scaled(adapter, 0.0, **parts))
    with torch.no_grad():
        assert torch.equal(logits, tiny.backbone(torch.arange(5, 25)[None]).logits)
    assert all(state.abs().max() > 0 for state in states.values())


@pytest.mark.parametrize("parts", [{"states": (0,)}, {"heads": ("o",)}, {"layers": (1,)}])
def test_one_part_off_is_neither_all_nor_nothing(tiny, adapter, parts):
    before, off = run(tiny, adapter)[0], run(tiny, ablation.scaled(adapter, 0.0))[0]
    some = run(tiny, ablation.scaled(adapter, 0.0, **parts))[0]
    assert not torch.allclose(some, before) and not torch.allclose(some, off)
    assert torch.equal(run(tiny, adapter)[0], before)  # the adapter itself is as it was


def test_a_strength_is_the_binding_s(tiny, adapter):
    with torch.no_grad(), bind(tiny.backbone, Binding(adapter, strength=0.5)):
        expected = tiny.backbone(torch.arange(5, 25)[None]).logits
    torch.testing.assert_close(run(tiny, ablation.scaled(adapter, 0.5))[0], expected)


def test_a_higher_bias_writes_more(tiny, adapter):
    first = next(iter(adapter.layers))  # later layers read what earlier ones corrected
    sizes = [run(tiny, ablation.shifted(adapter, shift))[1][first].norm() for shift in (-1.0, 0.0, 1.0)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2]


def test_the_command_prints_a_row_a_change(tiny_model_folder, tiny_adapter_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recall, "vocabulary_words", lambda tokenizer: WORDS)
    options = ["--model", str(tiny_model_folder), "--adapter", str(tiny_adapter_folder), "--cases", "1"]
    out = tmp_path / "a.json"
    assert ablation.main([*options, "--changes", "as trained", "o corrections off", "rank", "--json", str(out)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == [
        "| as trained",
        "| o corrections off",
        "| states cut to rank one",
    ]
    assert out.is_file()
    assert ablation.main([*options[:3], str(tmp_path / "absent")]) == 1
    assert ablation.main([*options, "--suites", "17 facts"]) == 1 and "17 facts" in capsys.readouterr().err
