"""Training's forms of the memory give the numbers of the plain ones, forward and backward."""

import pytest
import torch

from deltamem.core import HFDeltaMemConfig
from deltamem.core.layer import DeltaMemLayer, LayerShape
from deltamem.core.plan import Plan, make_plan
from deltamem.train.layers import TrainingLayer, TurnSegments

SHAPE = LayerShape(24, 24, 8, 8, 24)


def make_layer(kind=DeltaMemLayer, **options):
    torch.manual_seed(1)
    layer = DeltaMemLayer(HFDeltaMemConfig(num_state_heads=2, rank=options.pop("rank", 8), **options), SHAPE)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    layer.__class__ = kind
    return layer


def error(a, b):
    return ((a - b).norm() / b.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize(("length", "rank", "gate"), [(1, 8, 0.0), (33, 8, -4.0), (40, 5, 9.0), (90, 8, 30.0)])
def test_a_step_is_the_plain_layer(device, length, rank, gate):
    """Reads, state and every gradient of a pass inside a step, which casts the weights once."""
    layer = make_layer(TrainingLayer, rank=rank).to(device)
    with torch.no_grad():
        layer.beta_bias += gate
    x, upstream = torch.randn(3, length, 24, device=device), torch.randn(3, length, 2 * rank, device=device)
    state = torch.randn(3, 2, rank, rank, device=device)
    valid = torch.rand(3, length, device=device) > 0.3
    plan = make_plan(layer.config, (3, length), True, valid, None, None, None)
    results = []
    for in_step in (False, True):
        if in_step:
            layer.begin_step(torch.float32)
        inputs = [x.clone().requires_grad_(), state.clone().requires_grad_()]
        reads, final, _ = layer(*inputs, plan)
        ((reads * upstream).sum() + final.square().sum()).backward()
        grads = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
        layer.zero_grad()
        results.append([reads.detach(), final.detach(), inputs[0].grad, inputs[1].grad, *grads])
    for plain, ours in zip(*results, strict=True):
        assert error(ours, plain) < 2e-4 and torch.isfinite(ours).all()


def test_a_turn_of_messages_is_what_the_chat_does():
    """Question in one pass, its write, then the reply reading the new state, then the reply's write."""
    layer = make_layer(TrainingLayer, memory_write_granularity="message_mean")
    plain = make_layer(memory_write_granularity="message_mean")
    x, state = torch.randn(2, 9, 24), torch.randn(2, 2, 8, 8)
    question = torch.arange(9) < 5
    weights = torch.stack((question / 5, ~question / 4)).expand(2, 2, 9)
    late = (torch.arange(9) >= 6).expand(2, 9)
    segments = TurnSegments(weights.contiguous(), torch.ones(2, 2, dtype=torch.bool), late)
    reads, final, _ = layer(x, state, Plan(True, segments=segments))

    ids = torch.zeros(2, 5, dtype=torch.long)
    first, between, _ = plain(x[:, :5], state, make_plan(plain.config, (2, 5), True, None, None, ids, None))
    second, after, _ = plain(x[:, 5:], between, make_plan(plain.config, (2, 4), True, None, None, ids[:, :4], None))
    assert error(reads[:, :5], first) < 1e-5
    assert error(reads[:, 6:], second[:, 1:]) < 1e-5
    assert error(final, after) < 1e-5
