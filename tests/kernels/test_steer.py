"""The steer: the kernel against the plain form."""

import pytest
import torch

from deltamem.kernels.steer import steer, steer_naive

from .errors import DTYPES, noise, relative, tolerance


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("T", "N", "width"), [(0, 5, 8), (1, 1, 1), (63, 100, 5), (100, 257, 8), (33, 64, 64), (17, 130, 32)]
)
def test_tiled_agrees(device, T, N, width, dtype):
    from deltamem.kernels.steer.tiled import steer_tiled

    output = noise(2, T, N, seed=1, device=device, dtype=dtype)
    reads, weight = noise(2, T, width, seed=2, device=device), noise(N, width, seed=3, device=device)
    expected = steer_naive(output, reads, weight, 0.7)
    got = steer_tiled(output, reads, weight, 0.7)
    assert got.dtype == dtype
    assert relative(got, expected) < tolerance(dtype)
    assert relative(steer_tiled(output[:, ::2], reads[:, ::2], weight, 0.7), expected[:, ::2]) < tolerance(dtype)


def test_naive_rounds_once_and_carries_gradients():
    output, reads = torch.full((1, 2), 256.0, dtype=torch.bfloat16), torch.full((1, 1), 1.5, requires_grad=True)
    got = steer(output, reads, torch.tensor([[1.0], [2.0]]), 1.0)
    assert got.tolist() == [[258.0, 260.0]]  # 257.5 and 259 in steps of 2
    got.sum().backward()
    assert reads.grad.item() == 3.0


def test_wrong_arguments(device):
    from deltamem.kernels.steer.tiled import steer_tiled

    output, reads, weight = (noise(*size, device=device) for size in [(2, 3, 5), (2, 3, 8), (5, 8)])
    for form in (steer_tiled, steer_naive):
        for wrong in ((output, reads, weight.T), (output[:, 1:], reads, weight)):
            with pytest.raises(ValueError, match=r"give \[..., N\], \[..., W\] and \[N, W\]"):
                form(*wrong)
        with pytest.raises(ValueError, match="torch.bfloat16 and torch.float32.*convert"):
            form(output, reads.bfloat16(), weight)
