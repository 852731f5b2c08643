"""Small linear maps: the plain form against F.linear, the kernels against the plain form."""

import pytest
import torch
import torch.nn.functional as F

from deltamem.kernels.small_linear import (
    LowRank,
    small_gated_linear,
    small_gated_linear_naive,
    small_linear,
    small_linear_naive,
)
from deltamem.kernels.small_linear.shared import small_gated_linear_shared, small_linear_shared, takes

from .errors import DTYPES, noise, relative, tolerance


@pytest.fixture
def streamed(device):
    """The kernels' module."""
    from deltamem.kernels.small_linear import streamed

    return streamed


def make_maps(K, sizes, dtypes, device="cpu"):
    pairs = list(enumerate(zip(sizes, dtypes, strict=True)))
    weights = [noise(N, K, seed=i, device=device, dtype=dtype) for i, (N, dtype) in pairs]
    biases = [None if i % 2 else noise(N, seed=9 + i, device=device, dtype=dtype) for i, (N, dtype) in pairs]
    return weights, biases


def make_low_rank(index, B, N, width, device="cpu"):
    scale = torch.arange(B, device=device, dtype=torch.float32)  # the first row is not corrected
    return LowRank(index, noise(B, width, seed=5, device=device), noise(N, width, seed=6, device=device), scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_naive_is_linear(dtype):
    x = noise(2, 40, seed=3, dtype=dtype)
    weights, biases = make_maps(40, [6, 9], [dtype, dtype])
    for y, weight, bias in zip(small_linear(x, weights, biases), weights, biases, strict=True):
        assert y.dtype == dtype
        assert relative(y, F.linear(x, weight, bias)) < tolerance(dtype)
    gated = F.silu(F.linear(x, weights[0])) * F.linear(x, weights[0])
    assert relative(small_gated_linear(x, weights[0], weights[0]), gated) < tolerance(dtype)


@pytest.mark.parametrize("threads", [1, 2, 6])
@pytest.mark.parametrize("B", [1, 2, 8])
def test_cores_take_shares(monkeypatch, B, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x = noise(B, 33, seed=3)
    weights, biases = make_maps(33, [12, 9, 1, 250], [torch.float32] * 4)
    for y, wanted in zip(small_linear_shared(x, weights, biases), small_linear_naive(x, weights, biases), strict=True):
        assert y.shape == wanted.shape and y.is_contiguous() and relative(y, wanted) < tolerance(torch.float32)
    gated = small_gated_linear_naive(x, weights[0], weights[0])
    assert relative(small_gated_linear_shared(x, weights[0], weights[0]), gated) < tolerance(torch.float32)
    assert takes(x, weights) and not takes(x, [weights[0][:, ::2]]) and not takes(x.double(), weights)


@pytest.mark.parametrize("B", [1, 3, 8])
@pytest.mark.parametrize(
    ("K", "sizes", "dtypes"),
    [
        (257, [19], [torch.float32]),
        (3100, [3], [torch.bfloat16]),
        (1, [1, 5], [torch.float16, torch.float16]),
        (640, [21, 10, 1, 6], [torch.bfloat16, torch.bfloat16, torch.bfloat16, torch.float32]),
    ],
    ids=str,
)
def test_streamed_agrees(streamed, device, B, K, sizes, dtypes):
    x = noise(B, K, seed=3, device=device, dtype=dtypes[0])
    weights, biases = make_maps(K, sizes, dtypes, device)
    low_rank = make_low_rank(0, B, sizes[0], 12, device)
    got = streamed.small_linear_streamed(x, weights, biases, low_rank)
    expected = small_linear_naive(x, weights, biases, low_rank)
    plain = streamed.small_linear_streamed(x, weights, biases)
    for y, y_expected, dtype in zip(got, expected, dtypes, strict=True):
        assert y.dtype == dtype
        assert relative(y, y_expected) < tolerance(dtype)
    assert torch.equal(got[0][0], plain[0][0]), "scale 0 is no correction"
    assert all(torch.equal(y, y_plain) for y, y_plain in zip(got[1:], plain[1:], strict=True))
    if B > 1:
        assert not torch.equal(got[0][1], plain[0][1])


def test_correction_of_a_later_output(streamed, device):
    x = noise(2, 100, device=device)
    weights, _ = make_maps(100, [7, 20], [torch.float32, torch.float32], device)
    low_rank = make_low_rank(1, 2, 20, 40, device)
    got = streamed.small_linear_streamed(x, weights, None, low_rank)
    for y, expected in zip(got, small_linear_naive(x, weights, None, low_rank), strict=True):
        assert relative(y, expected) < 1e-5


def test_rows_do_not_depend_on_each_other(streamed, device):
    x = noise(4, 300, device=device, dtype=torch.bfloat16)
    weights, _ = make_maps(300, [12], [torch.bfloat16], device)
    together = streamed.small_linear_streamed(x, weights)[0]
    gated = streamed.small_gated_linear_streamed(x, weights[0], weights[0])
    for row in range(4):
        alone = streamed.small_linear_streamed(x[row : row + 1], weights)[0]
        assert torch.equal(alone[0], together[row])
        alone = streamed.small_gated_linear_streamed(x[row : row + 1], weights[0], weights[0])
        assert torch.equal(alone[0], gated[row])


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gated_agrees(streamed, device, B, dtype):
    x = noise(B, 257, seed=3, device=device, dtype=dtype)
    gate, up = (noise(21, 257, seed=seed, device=device, dtype=dtype) / 16 for seed in (1, 2))
    got = streamed.small_gated_linear_streamed(x, gate, up)
    expected = small_gated_linear_naive(x, gate, up)
    assert got.dtype == dtype
    assert relative(got, expected) < 2 * tolerance(dtype)


def test_gradients_flow(device):
    """Where autograd records, the plain form runs, on a GPU too."""
    x, weight = noise(2, 5, device=device), noise(3, 5, seed=1, device=device).requires_grad_()
    low_rank = make_low_rank(0, 2, 3, 4, device)
    low_rank.weight.requires_grad_()
    (small_linear(x, [weight], None, low_rank)[0].sum() + small_gated_linear(x, weight, weight).sum()).backward()
    assert weight.grad.any() and low_rank.weight.grad.any()


@pytest.mark.parametrize(
    ("x", "weights", "biases", "words"),
    [
        (torch.zeros(9, 4), [torch.zeros(2, 4)], None, "B from 1 to 8"),
        (torch.zeros(1, 4), [torch.zeros(2, 5)], None, r"\[2, 5\].*give \[N, 4\]"),
        (torch.zeros(1, 4), [torch.zeros(2, 4)] * 5, None, "5 matrices.*1 to 4"),
        (torch.zeros(1, 4), [torch.zeros(2, 4)], [None, None], "2 biases for 1"),
    ],
)
def test_wrong_arguments(x, weights, biases, words):
    with pytest.raises(ValueError, match=words):
        small_linear(x, weights, biases)


def test_low_rank_must_fit():
    with pytest.raises(ValueError, match=r"low-rank weight is \[3, 12\]; it must be \[2, 12\]"):
        small_linear(torch.zeros(1, 4), [torch.zeros(2, 4)], None, make_low_rank(0, 1, 3, 12))
