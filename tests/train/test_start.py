"""Starting from trained weights: what could be recalled still can be."""

import pytest
import torch

from deltamem.core import Binding, HFDeltaMemConfig, bind, new_adapter
from deltamem.train.checkpoint import TrainingError
from deltamem.train.start import started_from


def config(**options):
    return HFDeltaMemConfig(**{"rank": 4, "alpha": 8.0, "output_init": "base_slice"} | options)


def source(tiny, **options):
    torch.manual_seed(3)
    return new_adapter(tiny.backbone, config(**options)).requires_grad_(False)


def output(tiny, adapter):
    with torch.no_grad(), bind(tiny.backbone, Binding(adapter)):
        return tiny.backbone(torch.arange(5, 15)[None]).logits


@pytest.mark.parametrize("options", [{"num_state_heads": 2}, {"num_state_heads": 3}, {"delta_heads": ("q", "k", "o")}])
def test_a_larger_adapter_begins_as_the_smaller_one(tiny, options):
    old = source(tiny, num_state_heads=2)
    new = started_from(old, config(**{"num_state_heads": 2} | options), tiny.backbone)
    assert torch.allclose(output(tiny, old), output(tiny, new), atol=1e-5)
    assert all(parameter.requires_grad for parameter in new.parameters())


@pytest.mark.parametrize("states", [2, 3])
def test_a_larger_rank_begins_nearly_as_the_smaller_one(tiny, states):
    old = source(tiny, num_state_heads=2)
    with torch.no_grad():
        for layer in old.layers.values():
            layer.delta_o_proj.mul_(20.0)  # so that the memory is felt
    new = started_from(old, config(rank=6, alpha=12.0, num_state_heads=states), tiny.backbone)
    with torch.no_grad():
        steered = output(tiny, old) - tiny.backbone(torch.arange(5, 15)[None]).logits
    assert (output(tiny, new) - output(tiny, old)).norm() < 0.1 * steered.norm()


def test_one_state_out_of_several_keeps_reading_and_writing(tiny):
    old = source(tiny, num_state_heads=2)
    new = started_from(old, config(), tiny.backbone)
    for name, layer in new.layers.items():
        rows = [old.layers[name].memory_v_proj[i : i + 4] for i in (0, 4)]
        assert any(torch.equal(layer.memory_v_proj, row) for row in rows)
        assert layer.delta_o_proj.abs().max() > 0


def test_whole_messages_keep_their_own_gate(tiny):
    new = started_from(
        source(tiny, beta_bias_init=-4.0),
        config(memory_write_granularity="message_mean", beta_bias_init=0.5),
        tiny.backbone,
    )
    assert all((layer.beta_bias == 0.5).all() for layer in new.layers.values())
    again = started_from(new, config(memory_write_granularity="message_mean", beta_bias_init=0.0), tiny.backbone)
    assert all((layer.beta_bias == 0.5).all() for layer in again.layers.values())


def test_a_smaller_rank_and_fewer_states_are_refused(tiny):
    with pytest.raises(TrainingError, match="rank 4 with 3 states"):
        started_from(source(tiny, num_state_heads=3), config(num_state_heads=2), tiny.backbone)
    with pytest.raises(TrainingError, match="keep the rank"):
        started_from(source(tiny), config(rank=2), tiny.backbone)
