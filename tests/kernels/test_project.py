"""The memory's projections: the kernel against the plain form, which carries gradients."""

import pytest
import torch

from deltamem.kernels.project import project, project_naive

from .errors import DTYPES, noise, relative


def make_inputs(T, K, P, dtype=torch.float32, device="cpu"):
    x = noise(2, T, K, seed=1, device=device, dtype=dtype)
    return x, noise(P, K, seed=2, device=device), noise(P, seed=3, device=device)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("T", "K", "P"), [(0, 8, 4), (1, 64, 32), (63, 100, 5), (100, 257, 40), (70, 48, 130)], ids=str
)
def test_tiled_agrees_to_float32(device, T, K, P, dtype):
    """Whatever the dtype of x: nothing is rounded to it."""
    from deltamem.kernels.project.tiled import project_tiled

    x, weight, bias = make_inputs(T, K, P, dtype, device)
    exact = project_naive(x.double().float(), weight, bias).double()
    assert relative(project_tiled(x, weight, bias), exact) < 1e-5
    assert relative(project_tiled(x[:, ::2], weight[:3]), project_naive(x[:, ::2], weight[:3])) < 1e-5


def test_tiled_leaves_invalid_tokens_out(device):
    from deltamem.kernels.project.tiled import project_tiled

    x, weight, bias = make_inputs(9, 40, 20, device=device)
    invalid = torch.zeros(2, 9, 1, dtype=torch.bool, device=device)
    invalid[1, :4] = True
    x[1, :4] = float("nan")
    got = project_tiled(x, weight, bias, invalid)
    assert relative(got, project_naive(x, weight, bias, invalid)) < 1e-5
    assert torch.equal(got[1, :4], bias.expand(4, -1))


def test_naive_carries_gradients():
    x, weight, bias = make_inputs(3, 4, 2)
    weight.requires_grad_()
    project(x, weight, bias).sum().backward()
    assert relative(weight.grad[0], x.sum((0, 1))) < 1e-6


def test_wrong_arguments(device):
    from deltamem.kernels.project.tiled import project_tiled

    x, weight, bias = make_inputs(3, 4, 2, device=device)
    for form in (project_tiled, project_naive):
        with pytest.raises(ValueError, match=r"x is \[2, 3, 4\] and the weight \[2, 3\]"):
            form(x, weight[:, 1:])
        with pytest.raises(ValueError, match="the weight is torch.bfloat16.*float32, convert"):
            form(x, weight.bfloat16())
        with pytest.raises(ValueError, match=r"the bias is \[1\]; give \[2\]"):
            form(x, weight, bias[:1])
        with pytest.raises(ValueError, match=r"invalid is \[2, 3\]; give \[2, 3, 1\]"):
            form(x, weight, bias, torch.ones(2, 3, dtype=torch.bool, device=device))
