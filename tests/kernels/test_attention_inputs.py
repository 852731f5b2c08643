"""What lies between projections and attention: the kernel against the plain form, which is made of tested parts."""

import pytest
import torch

from deltamem.kernels.attention_inputs import MemoryStep, attention_inputs
from deltamem.kernels.attention_inputs.naive import attention_inputs_naive
from deltamem.kernels.rotary import HeadNorms

from .errors import DTYPES, noise, relative, tolerance

L = 9
CASES = [
    {},
    {"turns": False},
    {"normed": True},
    {"states": 1, "rank": 8, "normed": True},
    {"states": 3, "rank": 5, "parts": 5, "update": "lambda_outside"},
    {"states": 2, "rank": 8, "steers": False, "normalize_qk": False, "update": "no_lambda"},
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
