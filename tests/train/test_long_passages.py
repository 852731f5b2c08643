"""Passages of 300 to 500 tokens train with finite gradients, whatever the gates do and wherever padding stands.

A backward pass that divides by keep gates overflows float32 at such lengths, and padding on the left, which attends to
nothing, can be NaN: see RESULTS.md.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from deltamem.core import HFDeltaMemConfig, hook_backbone, new_adapter
from deltamem.core.binding import Binding, bind
from deltamem.core.layer import LayerShape
from deltamem.core.plan import Plan
from deltamem.kernels.memory_pass.naive import memory_pass_naive
from deltamem.train.layers import TrainingLayer, trained
from tests.core.tiny import make_model

TOKENS = 480
FORGETTING = -1.5  # the bias of the trials in which NaN was seen


def test_division_by_the_keep_gate_would_overflow_here():
    keep = torch.sigmoid(torch.tensor(-FORGETTING))
    assert math.isinf((1 / keep).pow(TOKENS).item()) and math.isfinite((1 / keep).pow(300).item())


def passage_gradients(gate, plain):
    """(state, gradients) of a long passage through a layer with this gate bias; plain: token by token in float64."""
    torch.manual_seed(2)
    layer = TrainingLayer(HFDeltaMemConfig(), LayerShape(24, 24, 8, 8, 24))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.constant_(layer.beta_bias, gate)
    x = torch.randn(2, TOKENS, 24)
    valid = torch.arange(TOKENS) < torch.tensor([[TOKENS], [300]])
    state = torch.zeros(2, 1, 8, 8)
    if plain:
        weight, bias = (part.double() for part in layer._packed())
        reads, final = memory_pass_naive(F.linear(x.double(), weight, bias), state.double(), valid)
    else:
        layer.begin_step(torch.float32)
        reads, final, _ = layer(x, state, Plan(True, ~valid[..., None], valid))
    (reads[:, TOKENS // 2 :].square().sum() + final.square().sum()).backward()
    return final.detach(), [p.grad for p in layer.parameters() if p.grad is not None]


@pytest.mark.parametrize("gate", [FORGETTING, 30.0])
def test_gradients_of_a_long_passage_are_those_of_the_plain_loop(gate):
    """gate 30: the keep gate is exactly 0 in float32."""
    state, gradients = passage_gradients(gate, plain=False)
    expected_state, expected = passage_gradients(gate, plain=True)
    assert ((state - expected_state).norm() / expected_state.norm()).item() < 1e-4
    assert len(gradients) == len(expected)
    for ours, plain in zip(gradients, expected, strict=True):
        assert torch.isfinite(ours).all()
        assert (ours - plain).norm().item() <= 1e-3 * plain.norm().item() + 1e-6


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_passage_trains_like_one_alone(side, attention):
    """Gradients of a passage beside a longer one, padded on either side, are those it has alone."""
    model = make_model("llama")
    hook_backbone(model)
    model.set_attn_implementation(attention)
    torch.manual_seed(0)
    adapter = trained(new_adapter(model, HFDeltaMemConfig(rank=4, alpha=8.0, beta_bias_init=FORGETTING)))
    ids = torch.randint(3, 64, (1, 330), generator=torch.Generator().manual_seed(1))

    def gradients(rows, mask, places):
        adapter.zero_grad()
        binding = Binding(adapter)
        with bind(model, binding):
            positions = (mask.cumsum(-1) - 1).clamp_min(0)
            logits = model(input_ids=rows, attention_mask=mask, position_ids=positions, use_cache=False).logits
        logits[0, places].log_softmax(-1)[:, 5].sum().backward()
        return [p.grad.clone() for p in adapter.parameters()]

    padding, places = torch.zeros(1, 60, dtype=torch.long), torch.arange(200, 330)
    parts = (padding, ids) if side == "left" else (ids, padding)
    masks = [torch.full_like(part, int(part is ids)) for part in parts]
    longer = torch.randint(3, 64, (1, 390), generator=torch.Generator().manual_seed(2))
    rows = torch.cat([torch.cat(parts, dim=1), longer])
    mask = torch.cat([torch.cat(masks, dim=1), torch.ones_like(longer)])
    alone = gradients(ids, torch.ones_like(ids), places)
    beside = gradients(rows, mask, places + (60 if side == "left" else 0))
    for padded, plain in zip(beside, alone, strict=True):
        assert torch.isfinite(padded).all()
        assert (padded - plain).norm().item() <= 2e-3 * plain.norm().item() + 1e-6
