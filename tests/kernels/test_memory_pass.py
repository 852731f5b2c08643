"""A memory's pass with gradients: the kernel and the scan in chunks against the plain loop in float64."""

import pytest
import torch

from deltamem.kernels.memory_pass import memory_pass, memory_pass_naive

from .errors import DTYPES, noise, relative, tolerance


def fused(raw, state, mask=None):
    from deltamem.kernels.memory_pass.fused import memory_pass_fused

    return memory_pass_fused(raw, state, mask)


def make_inputs(T, H=2, r=8, B=3, gate=-1.5, device="cpu", dtype=torch.float32):
    """Projections, a state to start from, and a mask whose first row is all False."""
    raw = noise(B, T, 4 * H * r, seed=1)
    raw[..., 3 * H * r :] = 3 * raw[..., 3 * H * r :] + gate
    mask = noise(B, T, seed=3) > -0.5
    mask[0] = False
    return raw.to(device, dtype), noise(B, H, r, r, seed=2, device=device), mask.to(device)


def gradients(function, raw, state, mask):
    """Reads, final state and the gradients of both inputs, for fixed directions of unlike size."""
    raw, state = raw.clone().requires_grad_(), state.clone().requires_grad_()
    reads, final = function(raw, state, mask)
    weigh = torch.linspace(-1, 1, reads.numel(), device=raw.device).view_as(reads)
    weigh_final = torch.linspace(1, 2, final.numel(), device=raw.device).view_as(final)
    ((reads * weigh).sum() + (final * weigh_final).sum()).backward()
    return [reads.detach(), final.detach(), raw.grad, state.grad]


def check(function, raw, state, mask, limit=2e-5):
    got = gradients(function, raw, state, mask)
    exact = gradients(memory_pass_naive, raw.cpu().double(), state.cpu().double(), None if mask is None else mask.cpu())
    for name, ours, wanted in zip(("reads", "final", "d_raw", "d_state"), got, exact, strict=True):
        assert torch.isfinite(ours).all(), name
        assert relative(ours, wanted) < limit, name


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(("T", "H", "r"), [(1, 2, 8), (13, 2, 8), (10, 1, 5), (9, 3, 1), (7, 1, 16), (4, 1, 64)])
def test_fused_agrees(device, T, H, r, masked):
    raw, state, mask = make_inputs(T, H, r, device=device)
    check(fused, raw, state, mask if masked else None)


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(("T", "r"), [(1, 8), (63, 1), (100, 8), (33, 64)])
def test_the_form_for_cpus_agrees(T, r, masked):
    raw, state, mask = make_inputs(T, 1, r)
    check(memory_pass, raw, state, mask if masked else None)


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("r", [1, 5, 8, 16, 64])
@pytest.mark.parametrize("T", [1, 63, 100, 257])
def test_compiled_agrees(T, r, masked):
    raw, state, mask = make_inputs(T, 4, r, device="cuda")
    check(memory_pass, raw, state, mask if masked else None)


@pytest.mark.parametrize("gate", [-30.0, 30.0], ids=["shut", "open"])
def test_gates_at_their_ends(device, gate):
    check(fused, *make_inputs(15, gate=gate, device=device))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_projections_of_any_dtype(device, dtype):
    """They are read as they are; only their gradient is rounded to their dtype."""
    raw, state, mask = make_inputs(11, device=device, dtype=dtype)
    got, exact = gradients(fused, raw, state, mask), gradients(memory_pass_naive, raw.float(), state, mask)
    for ours, wanted, limit in zip(got, exact, (1e-5, 1e-5, tolerance(dtype), 1e-5), strict=True):
        assert relative(ours, wanted) < 2 * limit
    assert got[2].dtype == dtype


@pytest.mark.parametrize("function", [fused, memory_pass, memory_pass_naive])
def test_masked_tokens_leave_no_trace(device, function):
    """An all-masked row keeps its state and reads 0, whatever lies at its places."""
    raw, state, mask = make_inputs(6, device=device)
    raw[~mask] = float("nan")
    reads, final, d_raw, d_state = gradients(function, raw, state, mask)
    assert torch.equal(final[0], state[0]) and not reads[0].any() and not d_raw[~mask].any()
    assert all(torch.isfinite(x).all() for x in (reads, final, d_raw, d_state))


def test_zero_projections_have_finite_gradients(device):
    """The norm of a zero vector has no gradient of its own."""
    raw, state, mask = make_inputs(3, device=device)
    check(fused, torch.zeros_like(raw), state, None)


def test_gradients_repeat_bit_for_bit(device):
    arguments = make_inputs(5, device=device)
    first, second = (gradients(fused, *arguments) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_without_gradients_the_same(device):
    arguments = make_inputs(5, device=device)
    with torch.no_grad():
        reads, final = fused(*arguments)
    wanted = gradients(fused, *arguments)
    assert torch.equal(reads, wanted[0]) and torch.equal(final, wanted[1])


def test_views_of_a_wider_tensor(device):
    raw, state, mask = make_inputs(8, device=device)
    wide = torch.cat((raw, raw), dim=-1)[:, ::2, : raw.shape[-1]]
    check(fused, wide, state.transpose(-1, -2), mask[:, ::2])


def test_drift_over_thousands_of_steps(device):
    """With a memory that forgets slowly."""
    raw, state, _ = make_inputs(10_000, H=1, B=1, gate=-6.0, device=device)
    got, exact = memory_pass(raw, state), memory_pass_naive(raw.cpu().double(), state.cpu().double())
    for ours, wanted in zip(got, exact, strict=True):
        assert relative(ours, wanted) < 1e-5


@pytest.mark.parametrize("function", [fused, memory_pass, memory_pass_naive])
def test_arguments_that_do_not_fit_are_refused(function):
    raw, state, mask = make_inputs(5)
    with pytest.raises(ValueError, match=r"raw is \[3, 5, 63\].*give \[3, T, 64\]"):
        function(raw[..., :-1], state)
    with pytest.raises(ValueError, match=r"mask is \[3, 4\].*give \[3, 5\]"):
        function(raw, state, mask[:, :4])
