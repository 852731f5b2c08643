"""Every form of the scan against the plain loop, by relative error: output, final state and every gradient."""

import pytest
import torch
import torch.nn.functional as F

from deltamem.kernels.affine_scan import affine_scan, affine_scan_naive
from deltamem.kernels.affine_scan.chunked import affine_scan_chunked

from .errors import relative

NAMES = ("q", "k", "v", "keep", "erase", "write", "state")


def make_inputs(T, r=8, H=1, B=2, seed=0, bias=-1.5):
    """Unit q and k, coupled gates that spread over (0, 1), and a state to start from."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*size):
        return torch.randn(*size, generator=generator)

    q, k = (F.normalize(noise(B, H, T, r), dim=-1) for _ in range(2))
    beta = torch.sigmoid(3 * noise(B, H, T, r) + bias)
    return [q, k, noise(B, H, T, r), 1 - beta, beta.clone(), beta.clone(), noise(B, H, r, r)]


def make_mask(T, B=2):
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[-1, : T // 3] = False
    mask[-1, -1] = False
    return mask


def with_extreme_gates(inputs):
    """Some tokens keep nothing, some keep all, some write nothing, some rows differ within a token."""
    keep, erase, write = (x.clone() for x in inputs[3:6])
    keep[:, :, ::5], erase[:, :, ::5], write[:, :, ::5] = 0.0, 1.0, 1.0
    keep[:, :, 1::5], erase[:, :, 1::5], write[:, :, 1::5] = 1.0, 0.0, 0.0
    keep[:, :, 2::7, ::2] = 0.0
    keep[:, :, 3::7, ::2] = 1.0
    return [*inputs[:3], keep, erase, write, inputs[6]]


def gradients(scan, inputs, mask):
    leaves = [x.clone().requires_grad_() for x in inputs]
    reads, state = scan(*leaves, mask)
    # Fixed directions of unlike size, so that no part of either output goes unnoticed.
    weigh = torch.linspace(-1, 1, reads.numel(), device=reads.device).view_as(reads)
    weigh_state = torch.linspace(1, 2, state.numel(), device=state.device).view_as(state)
    ((reads * weigh).sum() + (state * weigh_state).sum()).backward()
    return reads.detach(), state.detach(), [leaf.grad for leaf in leaves]


def check(inputs, mask, scan=affine_scan_chunked, tolerance=1e-5, device="cpu"):
    exact = [x.double() for x in inputs]
    reads, state, grads = gradients(scan, [x.to(device) for x in inputs], None if mask is None else mask.to(device))
    expected_reads, expected_state, expected_grads = gradients(affine_scan_naive, exact, mask)
    assert relative(reads, expected_reads) < tolerance
    assert relative(state, expected_state) < tolerance
    for name, got, expected in zip(NAMES, grads, expected_grads, strict=True):
        assert torch.isfinite(got).all(), name
        assert relative(got, expected) < 5 * tolerance, name


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("H", [1, 4])
@pytest.mark.parametrize("r", [1, 4, 8, 16])
@pytest.mark.parametrize("T", [1, 63, 100, 257])
def test_chunked_agrees(T, r, H, masked):
    mask = make_mask(T) if masked else None
    check(make_inputs(T, r, H), mask)


@pytest.mark.parametrize("T", [1, 63])
def test_chunked_at_the_largest_rank(T):
    check(make_inputs(T, 64), make_mask(T))


@pytest.mark.parametrize("T", [1, 63, 100])
def test_chunked_with_gates_at_their_ends(T):
    check(with_extreme_gates(make_inputs(T, H=2)), make_mask(T))


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_chunked_with_every_gate_at_one_end(gate):
    inputs = make_inputs(100)
    inputs[3], inputs[4], inputs[5] = (torch.full_like(inputs[3], x) for x in (1 - gate, gate, gate))
    check(inputs, None)


@pytest.mark.parametrize("chunk", [1, 16, 64, 300])
def test_chunk_length_does_not_matter(chunk):
    inputs = make_inputs(100)
    reads, state = affine_scan_chunked(*inputs, chunk=chunk)
    expected_reads, expected_state = affine_scan_naive(*inputs)
    assert relative(reads, expected_reads) < 1e-5
    assert relative(state, expected_state) < 1e-5


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
def test_single_token_step(masked):
    check(make_inputs(1, H=4), make_mask(1) if masked else None, scan=affine_scan)


def test_decoupled_gates():
    inputs = make_inputs(63, H=2)
    generator = torch.Generator().manual_seed(5)
    inputs[4], inputs[5] = (torch.rand(inputs[3].shape, generator=generator) for _ in range(2))
    check(inputs, None)


@pytest.mark.parametrize("scan", [affine_scan_naive, affine_scan_chunked])
@pytest.mark.parametrize("T", [1, 40])
def test_masked_tokens_leave_no_trace(scan, T):
    """An all-masked row keeps its state and reads 0, whatever lies at its places."""
    inputs = make_inputs(T)
    mask = torch.ones(2, T, dtype=torch.bool)
    mask[1] = False
    for x in inputs[:6]:
        x[1] = float("nan")
    reads, state = scan(*inputs, mask)
    assert torch.equal(state[1], inputs[6][1])
    assert not reads[1].any()
    assert torch.isfinite(reads).all() and torch.isfinite(state).all()


@pytest.mark.parametrize("T", [1, 40])
def test_gradients_past_masked_garbage_are_finite(T):
    inputs = make_inputs(T)
    mask = make_mask(T)
    for x in inputs[:6]:
        x[~mask[:, None].expand(x.shape[:3])] = float("inf")
    _, _, grads = gradients(affine_scan, inputs, mask)
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_no_tokens():
    inputs = make_inputs(0)
    reads, state = affine_scan(*inputs)
    assert reads.shape == (2, 1, 0, 8)
    assert torch.equal(state, inputs[6])


def test_drift_over_thousands_of_steps():
    """One pass, uneven chunks and single steps stay together, and near float64, with a slowly forgetting memory."""
    T = 10_000
    inputs = make_inputs(T, H=1, B=1, bias=-4.0)
    exact, exact_state = affine_scan_naive(*(x.double() for x in inputs))
    whole, whole_state = affine_scan(*inputs, backend="chunked")
    assert relative(whole, exact) < 1e-5
    assert relative(whole_state, exact_state) < 1e-5

    tokens, state = inputs[:6], inputs[6]
    for start in range(0, T, 333):
        _, state = affine_scan(*(x[:, :, start : start + 333] for x in tokens), state)
    assert relative(state, exact_state) < 1e-5

    state = inputs[6]
    for t in range(T):
        _, state = affine_scan(*(x[:, :, t : t + 1] for x in tokens), state)
    assert relative(state, exact_state) < 1e-5


def parallel(chunk=None):
    """The kernels, with chunks of a length."""
    from deltamem.kernels.affine_scan.parallel import affine_scan_parallel

    return lambda *arguments: affine_scan_parallel(*arguments, chunk=chunk)


def scattered(inputs):
    """The same numbers as views of one packed tensor [B, T, 6, H, r]."""
    packed = torch.stack([x.transpose(1, 2) for x in inputs[:6]], dim=2)
    return [*(x.transpose(1, 2) for x in packed.unbind(2)), inputs[6]]


@pytest.mark.parametrize(
    ("T", "r", "H", "B", "chunk"),
    [(1, 8, 1, 2, None), (19, 8, 2, 1, 7), (12, 5, 1, 2, 4), (9, 1, 2, 1, 2), (7, 16, 1, 1, 3), (4, 64, 1, 1, 2)],
)
def test_parallel_agrees(device, T, r, H, B, chunk):
    inputs = make_inputs(T, r, H, B)
    check(scattered(inputs), make_mask(T, B), parallel(chunk), device=device)
    if r < 64:
        check(with_extreme_gates(inputs), None, parallel(chunk), device=device)


def test_parallel_keeps_masked_garbage_out(device):
    inputs, mask = make_inputs(6), make_mask(6)
    mask[0] = False
    for x in inputs[:6]:
        x[~mask[:, None].expand(x.shape[:3])] = float("nan")
    reads, state, grads = gradients(parallel(4), [x.to(device) for x in inputs], mask.to(device))
    assert torch.equal(state[0].cpu(), inputs[6][0]) and not reads[0].any()
    assert all(torch.isfinite(x).all() for x in (reads, state, *grads))


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize("H", [1, 4])
@pytest.mark.parametrize("r", [1, 5, 8, 16, 64])
@pytest.mark.parametrize("T", [1, 63, 100, 257])
def test_compiled_agrees(T, r, H, masked):
    inputs, mask = make_inputs(T, r, H), make_mask(T) if masked else None
    check(scattered(inputs), mask, affine_scan, device="cuda")
    check(inputs, mask, parallel(32), device="cuda")


@pytest.mark.gpu
def test_compiled_long_and_twice():
    """32k tokens, in chunks as the dispatcher cuts them; gradients repeat bit for bit."""
    inputs = make_inputs(32_768, B=1, bias=-4.0)
    on_gpu = [x.cuda() for x in inputs]
    reads, state, grads = gradients(affine_scan, on_gpu, None)
    exact, exact_state = affine_scan_chunked(*(x.double() for x in inputs))
    assert relative(reads, exact) < 1e-5
    assert relative(state, exact_state) < 1e-5
    again = gradients(affine_scan, on_gpu, None)
    assert torch.equal(reads, again[0]) and torch.equal(state, again[1])
    assert all(torch.equal(one, other) for one, other in zip(grads, again[2], strict=True))


@pytest.mark.gpu
def test_any_gpu_will_do():
    """Tensors on another GPU than the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    check(make_inputs(100), None, affine_scan, device="cuda:1")


def test_chunks_are_bounded():
    pytest.importorskip("triton")
    from deltamem.kernels.affine_scan.parallel import MAP_NUMBERS, MAX_CHUNKS, chunk_length

    assert chunk_length(50, 1, 8) == 50
    for tokens in (97, 1000, 32_768, 1_000_003):
        for states, rank in ((1, 8), (256, 8), (1, 64), (4, 64), (10_000, 8)):
            length = chunk_length(tokens, states, rank)
            chunks = -(-tokens // length)
            assert 1 <= length <= tokens
            assert chunks == 1 or (states * chunks <= MAX_CHUNKS and states * chunks * rank**3 <= MAP_NUMBERS)


def test_only_the_final_state_has_a_gradient(device):
    """What is learnt through the state alone, in every form."""
    inputs, mask = [x.to(device) for x in make_inputs(7)], make_mask(7).to(device)
    grads = []
    for scan in (affine_scan_naive, affine_scan_chunked, parallel(3)):
        leaves = [x.clone().requires_grad_() for x in inputs]
        scan(*leaves, mask)[1].square().sum().backward()
        grads.append([torch.zeros_like(x) if x.grad is None else x.grad for x in leaves])
    assert not grads[0][0].any() and grads[0][6].any()
    for others in grads[1:]:
        assert all(relative(got, wanted) < 1e-5 for got, wanted in zip(others[1:], grads[0][1:], strict=True))
        assert not others[0].any()


def test_gradients_repeat_bit_for_bit(device):
    inputs = [x.to(device) for x in make_inputs(9, H=2)]
    first, second = (gradients(parallel(4), inputs, None)[2] for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_unknown_backend():
    with pytest.raises(ValueError, match="not available.*auto"):
        affine_scan(*make_inputs(2), backend="quantum")


@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("backend", ["auto", "naive", "chunked", "parallel"])
def test_shapes_that_do_not_fit_are_refused(backend, T):
    if backend == "parallel":
        pytest.importorskip("triton")
    inputs = make_inputs(T)
    for index, wrong, words in [
        (4, inputs[4][..., :1], r"erase is \[2, 1, \d, 1\]; give \[B, H, T, r\]"),
        (6, inputs[6][:1], r"state is \[1, 1, 8, 8\].*give \[2, 1, 8, 8\]"),
    ]:
        with pytest.raises(ValueError, match=words):
            affine_scan(*inputs[:index], wrong, *inputs[index + 1 :], backend=backend)
    with pytest.raises(ValueError, match=r"mask is \[3\]"):
        affine_scan(*inputs, torch.ones(3, dtype=torch.bool), backend=backend)


def test_limits_of_the_kernels():
    pytest.importorskip("triton")
    with pytest.raises(ValueError, match="rank is 65.*up to 64.*plain form"):
        affine_scan(*make_inputs(2, r=65), backend="parallel")
    with pytest.raises(ValueError, match="float64.*float32.*'chunked'"):
        affine_scan(*(x.double() for x in make_inputs(2)), backend="parallel")
