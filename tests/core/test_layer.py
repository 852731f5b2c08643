"""One layer against the formulas, written out plainly, in every mode; and never a NaN."""

import pytest
import torch

from deltamem.core.config import HFDeltaMemConfig
from deltamem.core.layer import DeltaMemLayer, LayerShape
from deltamem.core.plan import Plan

SHAPE = LayerShape(hidden=12, q=16, k=8, v=8, o=12)
MODES = [
    {},
    {"state_update_mode": "lambda_outside"},
    {"state_update_mode": "no_lambda"},
    {"couple_lambda": False},
    {"couple_lambda": False, "state_update_mode": "lambda_outside", "rankwise_gates": False},
    {"rankwise_gates": False, "num_state_heads": 3},
    {"normalize_qk": False},
    {"num_state_heads": 2, "rank": 3},
]


def make_layer(**config):
    config = HFDeltaMemConfig(**{"rank": 4, "delta_heads": ["q", "k", "v", "o"], **config})
    layer = DeltaMemLayer(config, SHAPE)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return layer


def make_x(batch=2, tokens=7):
    return torch.randn(batch, tokens, SHAPE.hidden, generator=torch.Generator().manual_seed(1))


def make_state(layer, batch=2):
    config = layer.config
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, config.num_state_heads, config.rank, config.rank, generator=generator)


def plain_row(layer, x, state):
    """Reads [T, H * r] and the last state of one batch row, token by token, head by head."""
    config = layer.config
    H, r = config.num_state_heads, config.rank
    state, reads = state.clone(), []
    for token in x:
        row = []
        for h in range(H):
            rows = slice(h * r, (h + 1) * r)
            gates = rows if config.rankwise_gates else slice(h, h + 1)
            q, k = layer.memory_q_proj[rows] @ token, layer.memory_k_proj[rows] @ token
            if config.normalize_qk:
                q, k = (torch.tanh(y) / torch.tanh(y).norm() for y in (q, k))
            v = layer.memory_v_proj[rows] @ token
            beta = torch.sigmoid(layer.beta_proj[gates] @ token + layer.beta_bias[gates])
            lam = 1 - beta
            if not config.couple_lambda:
                lam = torch.sigmoid(layer.lambda_proj[gates] @ token + layer.lambda_bias[gates])
            keep = torch.ones_like(lam) if config.state_update_mode == "no_lambda" else lam
            erase = lam * beta if config.state_update_mode == "lambda_outside" else beta
            S = state[h]
            row.append(S @ q)
            state[h] = keep[:, None] * S - torch.outer(erase * (S @ k), k) + torch.outer(beta * v, k)
        reads.append(torch.cat(row))
    return torch.stack(reads), state


@pytest.mark.parametrize("frozen", [True, False], ids=["frozen", "trainable"])
@pytest.mark.parametrize("tokens", [1, 7])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_modes(mode, tokens, frozen):
    layer = make_layer(**mode).requires_grad_(not frozen)
    x, state = make_x(tokens=tokens), make_state(layer)
    reads, after, gates = layer(x, state, Plan(True))
    fixed, untouched, none = layer(x, state, Plan(False))
    assert untouched is state and none is None
    for row in range(2):
        expected, expected_state = plain_row(layer, x[row], state[row])
        torch.testing.assert_close(reads[row], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(after[row], expected_state, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(fixed[row][:1], expected[:1], atol=1e-5, rtol=1e-4)
    assert gates.beta.shape == gates.lam.shape == (2, layer.config.num_state_heads, tokens, layer.config.rank)


@pytest.mark.parametrize("head", ["q", "k", "v", "o"])
@pytest.mark.parametrize("granularity", [None, "layer", "head"])
@pytest.mark.parametrize("rmsnorm", [False, True])
def test_steer(head, granularity, rmsnorm):
    scaled = {} if granularity is None else {"trainable_delta_scale": True, "delta_scale_granularity": granularity}
    layer = make_layer(delta_o_rmsnorm=rmsnorm, alpha=6.0, delta_scale_max=3.0, **scaled)
    reads = torch.randn(2, 5, 4)
    output = torch.randn(2, 5, getattr(SHAPE, head))
    expected = 1.5 * reads @ getattr(layer, f"delta_{head}_proj").T
    if granularity:
        raw = layer.delta_scale_raw["qkvo".index(head) if granularity == "head" else 0]
        expected = expected * 3.0 * torch.sigmoid(raw)
    if rmsnorm and head == "o":
        expected = expected / (expected.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.delta_o_rmsnorm_weight
    torch.testing.assert_close(layer.steer(head, output, reads), output + expected)
    torch.testing.assert_close(layer.steer(head, output, reads, strength=0.25), output + 0.25 * expected)
    low = layer.steer(head, output.bfloat16(), reads)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low, (output.bfloat16() + expected).bfloat16())


@pytest.mark.parametrize("head", ["k", "o"])
def test_head_scales_keep_their_places(head):
    """Four numbers in the order q, k, v, o, whichever heads are active."""
    options = {"trainable_delta_scale": True, "delta_scale_granularity": "head", "delta_scale_max": 3.0}
    layer = make_layer(delta_heads=["o", "k"], **options)
    reads, output = torch.randn(2, 5, 4), torch.zeros(2, 5, getattr(SHAPE, head))
    scale = 3.0 * torch.sigmoid(layer.delta_scale_raw["qkvo".index(head)]) * 16.0 / 4
    torch.testing.assert_close(layer.steer(head, output, reads), scale * reads @ getattr(layer, f"delta_{head}_proj").T)


@pytest.mark.parametrize("tokens", [1, 40])
@pytest.mark.parametrize("bias", [-200.0, 0.0, 200.0], ids=["shut", "open", "wide open"])
@pytest.mark.parametrize("mode", MODES[:4], ids=str)
def test_gradients_are_finite(mode, bias, tokens):
    """Left padding that holds NaN, a row of nothing but padding, zero inputs, and gates stuck at their ends."""
    layer = make_layer(**mode, delta_o_rmsnorm=True)
    with torch.no_grad():
        layer.beta_bias.fill_(bias)
    valid = torch.ones(3, tokens, dtype=torch.bool)
    valid[1, : tokens // 2] = False
    valid[2] = False
    x = make_x(3, tokens)
    x[0, -1] = 0.0
    x[~valid] = float("nan")
    x.requires_grad_()
    state = make_state(layer, 3).requires_grad_()
    reads, after, _ = layer(x, state, Plan(True, ~valid[..., None], valid))
    steered = layer.steer("o", torch.zeros(3, tokens, SHAPE.o), reads)
    assert torch.equal(after[2], state[2]) and not reads[2].any() and not reads[~valid].any()
    (steered.square().sum() + after.square().sum()).backward()
    for tensor in (x, state, *(parameter for parameter in layer.parameters() if parameter.grad is not None)):
        assert torch.isfinite(tensor.grad).all()
    assert not x.grad[~valid].any()
    assert layer.memory_v_proj.grad is not None


def test_frozen_projections_are_joined_once():
    layer = make_layer().requires_grad_(False)
    first = layer._packed()
    assert layer._packed()[0] is first[0]
    with torch.no_grad():
        layer.beta_proj.mul_(2)
    again = layer._packed()
    assert torch.equal(again[0][12:], layer.beta_proj)
    assert layer.to("cpu")._packed()[0] is not again[0], "moved, perhaps"


def test_inference_mode_leaves_a_usable_layer():
    layer = make_layer().requires_grad_(False)
    with torch.inference_mode():
        layer(make_x(), make_state(layer), Plan(True))
    x = make_x().requires_grad_()
    reads, _, _ = layer(x, make_state(layer), Plan(True))
    reads.sum().backward()
    assert x.grad is not None
