"""What lies between projections and attention: the kernel against the plain form, which is made of tested parts."""

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

from deltamem.kernels.attention_inputs import HeadNorms, MemoryStep, attention_inputs, attention_inputs_naive
from deltamem.kernels.attention_inputs.heads import turn_heads

from .errors import DTYPES, noise, relative, tolerance

L = 9
CASES = [
    {},
    {"turns": False},
    {"normed": True},
    {"states": 1, "rank": 8, "normed": True},
    {"states": 3, "rank": 5, "parts": 5, "update": "lambda_outside"},
    {"states": 2, "rank": 8, "steers": False, "normalize_qk": False, "update": "no_lambda"},
    {"states": 1, "rank": 1},
    {"states": 1, "rank": 64, "turns": False},
]


def make_inputs(case, dtype, device, B=3, heads=4, kv_heads=2, D=16):
    def random(*size, seed, kind=dtype):
        return noise(*size, seed=seed, device=device, dtype=kind)

    q, k, v = (random(B, n * D, seed=s) for s, n in ((1, heads), (2, kv_heads), (3, kv_heads)))
    keys, values = (random(B, kv_heads, L, D, seed=s) for s in (4, 5))
    places = torch.tensor([3, 0, L - 1], device=device)
    angles = noise(B, D // 2, seed=6, device=device).repeat(1, 2)
    turn = (angles.cos().to(dtype), angles.sin().to(dtype)) if case.get("turns", True) else None
    norms = HeadNorms(random(D, seed=7), random(D, seed=8), 1e-6) if case.get("normed") else None
    memory = None
    if states := case.get("states"):
        rank, full = case["rank"], torch.float32
        whole = random(B, case.get("parts", 4) * states * rank + 3, seed=9, kind=full)
        memory = MemoryStep(
            packed=whole[:, 3:],
            state=random(B, states, rank, rank, seed=10, kind=full),
            after=torch.empty(B, states, rank, rank, device=device),
            write=torch.tensor([True, False, True], device=device),
            normalize_qk=case.get("normalize_qk", True),
            update=case.get("update", "standard"),
        )
        if case.get("steers", True):
            weight = random(heads * D, states * rank, seed=11, kind=full)
            memory = memory._replace(weight=weight, scale=torch.tensor([0.7, 1.3, 0.0], device=device))
    return q, k, v, keys, values, places, turn, norms, memory


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_heads_are_normed_and_turned_as_in_transformers(dtype):
    q, k = noise(2, 4, 16, seed=1, dtype=dtype), noise(2, 2, 16, seed=2, dtype=dtype)
    angles = noise(2, 8, seed=3).repeat(1, 2)
    turn = angles.cos().to(dtype), angles.sin().to(dtype)
    norms = HeadNorms(*(noise(16, seed=seed, dtype=dtype) for seed in (4, 5)), 1e-6)
    normed = []
    for x, weight in ((q, norms.q), (k, norms.k)):
        module = Qwen3RMSNorm(16, eps=1e-6).to(dtype)
        module.weight.data.copy_(weight)
        normed.append(module(x))
    for given, heads in ((None, (q, k)), (norms, normed)):
        expected = apply_rotary_pos_emb(*(x[:, :, None] for x in heads), *(x[:, None] for x in turn))
        for got, wanted in zip(turn_heads(q, k, turn, given), expected, strict=True):
            assert torch.equal(got, wanted[:, :, 0])
    assert all(torch.equal(*pair) for pair in zip(turn_heads(q, k, None, norms), normed, strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_agrees(device, case, dtype):
    from deltamem.kernels.attention_inputs.fused import attention_inputs_fused, fits_kernel

    given, wanted = make_inputs(case, dtype, device), make_inputs(case, dtype, device)
    assert fits_kernel(given[3], given[-1])
    q, reads = attention_inputs_fused(*given)
    expected, expected_reads = attention_inputs_naive(*wanted)
    assert q.dtype == dtype and relative(q, expected) < tolerance(dtype)
    for index in (3, 4):
        assert relative(given[index], wanted[index]) < tolerance(dtype)
        assert not torch.isnan(given[index]).any()
    if expected_reads is None:
        assert reads is None
        return
    assert relative(reads, expected_reads) < 1e-5
    assert relative(given[-1].after, wanted[-1].after) < 1e-5
    assert torch.equal(given[-1].after[1], given[-1].state[1]), "a row that does not write keeps its state"


def test_a_row_of_scale_0_is_as_without_memory(device):
    from deltamem.kernels.attention_inputs.fused import attention_inputs_fused

    case = {"states": 1, "rank": 8, "normed": True}
    steered, alone = make_inputs(case, torch.float32, device), make_inputs(case, torch.float32, device)
    q, _ = attention_inputs_fused(*steered)
    base, _ = attention_inputs_fused(*alone[:-1])
    assert torch.equal(q[2], base[2]) and not torch.equal(q[0], base[0])


def test_shapes_that_do_not_fit_are_refused():
    q, k, v, keys, values, places, *_ = make_inputs({}, torch.float32, "cpu")
    for wrong in (
        (q[:, 1:], k, v, keys, values, places),
        (q, k[:2], v, keys, values, places),
        (q, k, v, keys, values, k),
    ):
        with pytest.raises(ValueError, match="do not fit the cache"):
            attention_inputs(*wrong)


def test_what_a_memory_needs():
    *inputs, memory = make_inputs({"states": 1, "rank": 8}, torch.float32, "cpu")
    with pytest.raises(ValueError, match="buffer of its own"):
        attention_inputs(*inputs, memory._replace(after=memory.state))
    with pytest.raises(ValueError, match="state is torch.float64.*float32"):
        attention_inputs(*inputs, memory._replace(state=memory.state.double()))
    with pytest.raises(ValueError, match="give one dtype"):
        attention_inputs(inputs[0].half(), *inputs[1:])
