"""The single-token step: the plain form against the scan, the other forms against the plain form."""

import pytest
import torch

from deltamem.kernels.affine_scan import affine_scan_naive
from deltamem.kernels.decode_step import decode_step, decode_step_naive
from deltamem.kernels.decode_step.lean import decode_step_lean

from .errors import noise, relative, tolerance

SIZES = [(1, 1, 8), (3, 4, 8), (2, 3, 5), (2, 1, 1), (1, 2, 16), (2, 1, 64)]  # B, H, r
MODES = [
    {},
    {"update": "lambda_outside"},
    {"update": "no_lambda", "normalize_qk": False},
]


def make_inputs(B, H, r, parts=4, device="cpu"):
    return noise(B, parts * H * r, seed=1, device=device), noise(B, H, r, r, seed=2, device=device)


FORMS = ["lean", "interpreted", pytest.param("compiled", marks=pytest.mark.gpu)]


@pytest.fixture(params=FORMS)
def form(request):
    """A form of the step, and the device whose tensors it takes here."""
    if request.param == "lean":
        return decode_step_lean, "cpu"
    pytest.importorskip("triton")
    if request.param == "interpreted" and torch.cuda.is_available():
        pytest.skip("kernels are compiled where there is a GPU")
    from deltamem.kernels.decode_step.fused import decode_step_fused

    return decode_step_fused, "cpu" if request.param == "interpreted" else "cuda"


@pytest.mark.parametrize("update", ["standard", "lambda_outside", "no_lambda"])
@pytest.mark.parametrize("parts", [4, 5])
def test_naive_is_one_step_of_the_scan(parts, update):
    packed, state = make_inputs(2, 3, 4, parts)
    q, k, v, beta, *lam = (x.view(2, 3, 1, 4) for x in packed.chunk(parts, dim=1))
    q, k = (torch.nn.functional.normalize(x.tanh(), dim=-1) for x in (q, k))
    beta = beta.sigmoid()
    lam = lam[0].sigmoid() if lam else 1 - beta
    keep = torch.ones_like(lam) if update == "no_lambda" else lam
    erase = lam * beta if update == "lambda_outside" else beta
    expected, expected_state = affine_scan_naive(q, k, v, keep, erase, beta, state)
    reads, after = decode_step_naive(packed, state, update=update)
    assert relative(reads, expected.flatten(1)) < 1e-5
    assert relative(after, expected_state) < 1e-5


@pytest.mark.parametrize("parts", [4, 5])
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_agrees(form, size, mode, parts):
    step, device = form
    packed, state = make_inputs(*size, parts, device)
    before = state.clone()
    reads, after = step(packed, state, **mode)
    expected, expected_state = decode_step_naive(packed, state, **mode)
    assert relative(reads, expected) < 1e-5
    assert relative(after, expected_state) < 1e-5
    assert torch.equal(state, before)


@pytest.mark.filterwarnings("ignore:invalid value")  # the infinity, seen by NumPy
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(3, 1, 8), (3, 2, 5)], ids=str)
def test_steers_some_rows_and_writes_others(form, size, dtype):
    """Rows of scale 0 and rows that do not write come out bit for bit; odd widths; packed is a view."""
    step, device = form
    B, H, r = size
    packed, state = make_inputs(B, H, r, device=device)
    packed = torch.cat((packed, packed.new_full((B, 3), float("nan"))), dim=1)[:, :-3]
    steered = noise(B, 257, seed=3, device=device, dtype=dtype)
    weight, scale = noise(257, H * r, seed=4, device=device), torch.tensor([2.0, 0.0, 0.5], device=device)
    state[1, :, 0, 0] = float("inf")  # a row of scale 0 has no part in it
    write = torch.tensor([True, True, False], device=device)
    mine, plain = steered.clone(), steered.clone()
    buffer = torch.empty_like(state)
    reads, after = step(packed, state, buffer, write=write, steered=mine, weight=weight, scale=scale)
    expected, expected_state = decode_step_naive(packed, state, write=write, steered=plain, weight=weight, scale=scale)
    assert after is buffer
    rows = [0, 2]
    assert relative(reads[rows], expected[rows]) < 1e-5
    assert relative(after[rows], expected_state[rows]) < 1e-5
    assert torch.equal(after[2], state[2])
    assert relative(mine[rows], plain[rows]) < tolerance(dtype)
    assert torch.equal(mine[1], steered[1]) and torch.equal(plain[1], steered[1])
    assert not torch.equal(mine[0], steered[0])


def test_in_place(form):
    step, device = form
    packed, state = make_inputs(2, 2, 8, device=device)
    expected, expected_state = decode_step_naive(packed, state)
    reads, after = step(packed, state, state, write=torch.tensor([1, 1], device=device))
    assert after is state
    assert relative(reads, expected) < 1e-5
    assert relative(state, expected_state) < 1e-5


def test_zero_keys_and_queries(form):
    """The norm of nothing is no division by zero."""
    step, device = form
    packed, state = torch.zeros(1, 32, device=device), noise(1, 1, 8, 8, device=device)
    reads, after = step(packed, state)
    assert not reads.any()
    assert relative(after, 0.5 * state) < 1e-6


def test_drift_over_thousands_of_steps(form):
    """Step after step, two buffers in turn, near the scan in float64; the interpreter, at its pace, does fewer."""
    step, device = form
    T = 200 if device == "cpu" and step is not decode_step_lean else 10_000
    packed, state = noise(T, 32, seed=1), noise(1, 1, 8, 8, seed=2)
    packed[:, 24:] -= 4  # forgets slowly
    q, k, v, beta = packed.double().view(1, 1, T, 4, 8).unbind(3)
    q, k = (torch.nn.functional.normalize(x.tanh(), dim=-1) for x in (q, k))
    beta = beta.sigmoid()
    exact, exact_state = affine_scan_naive(q, k, v, 1 - beta, beta, beta, state.double())
    buffers, reads = [state.to(device), state.to(device)], []
    for t, token in enumerate(packed.to(device)):
        read, _ = step(token[None], buffers[t % 2], buffers[1 - t % 2])
        reads.append(read)
    assert relative(torch.cat(reads), exact[0, 0]) < 1e-5
    assert relative(buffers[T % 2], exact_state) < 1e-5


def test_gradients_are_those_of_the_plain_form():
    packed, state = (x.requires_grad_() for x in make_inputs(2, 1, 8))
    for step in (decode_step, decode_step_naive):
        reads, after = step(packed, state)
        (reads.sum() + after.square().sum()).backward()
    doubled, packed.grad = packed.grad, None
    reads, after = decode_step(packed, state)
    (reads.sum() + after.square().sum()).backward()
    assert relative(doubled, 2 * packed.grad) < 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"packed": torch.zeros(2, 32).double()}, "packed is torch.float64.*float32, convert"),
        ({"after": torch.zeros(2, 1, 8, 4)}, r"after is \[2, 1, 8, 4\]; give a contiguous buffer of \[2, 1, 8, 8\]"),
        ({"packed": torch.zeros(2, 33)}, r"packed is \[2, 33\].*give \[2, 32\]"),
        ({"update": "never"}, "'never'.*standard"),
        ({"steered": torch.zeros(2, 3)}, r"needs a weight \[N, 8\]"),
        ({"steered": torch.zeros(2, 3), "after": "state"}, "buffer of its own"),
    ],
)
def test_wrong_arguments(change, words):
    packed, state = make_inputs(2, 1, 8)
    arguments = {"packed": packed, "state": state} | change
    if arguments.get("after") == "state":
        arguments["after"] = state
    with pytest.raises(ValueError, match=words):
        decode_step(**arguments)
