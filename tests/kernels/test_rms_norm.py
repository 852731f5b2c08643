"""RMS norm: the plain form is transformers' own, the kernel agrees with it."""

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from deltamem.kernels.rms_norm import add_rms_norm, add_rms_norm_naive, rms_norm, rms_norm_naive

from .errors import DTYPES, noise, relative, tolerance


def make_inputs(N, dtype, device="cpu"):
    return [
        noise(*size, seed=seed, device=device, dtype=dtype) for seed, size in enumerate([(2, 3, N), (2, 3, N), (N,)])
    ]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_naive_is_transformers(dtype):
    x, residual, weight = make_inputs(40, dtype)
    module = Qwen3RMSNorm(40, eps=1e-5).to(dtype)
    module.weight.data.copy_(weight)
    assert torch.equal(rms_norm(x, weight, 1e-5), module(x))
    normed, total = add_rms_norm(x, residual, weight, 1e-5)
    assert torch.equal(total, x + residual)
    assert torch.equal(normed, module(x + residual))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("N", [1, 63, 100, 257, 2560])
def test_fused_agrees(device, N, dtype):
    from deltamem.kernels.rms_norm.fused import add_rms_norm_fused, rms_norm_fused

    x, residual, weight = make_inputs(N, dtype, device)
    assert relative(rms_norm_fused(x, weight, 1e-6), rms_norm_naive(x, weight, 1e-6)) < tolerance(dtype)
    heads = x.transpose(0, 1)  # rows contiguous, the tensor not
    assert relative(rms_norm_fused(heads, weight, 1e-6), rms_norm_naive(heads, weight, 1e-6)) < tolerance(dtype)
    normed, total = add_rms_norm_fused(x, residual, weight, 1e-6)
    expected, expected_total = add_rms_norm_naive(x, residual, weight, 1e-6)
    assert relative(total, expected_total) < tolerance(dtype)
    assert relative(normed, expected) < tolerance(dtype)


def test_wrong_arguments(device):
    from deltamem.kernels.rms_norm.fused import add_rms_norm_fused

    x, residual, weight = make_inputs(8, torch.float32, device)
    for form in (add_rms_norm_fused, add_rms_norm_naive):
        with pytest.raises(ValueError, match=r"the weight is \[7\].*give \[8\]"):
            form(x, residual, weight[1:], 1e-6)
        with pytest.raises(ValueError, match="the residual.*give two of a kind"):
            form(x, residual.half(), weight, 1e-6)


def test_gradients_flow(device):
    """Where autograd records, the plain form runs, on a GPU too."""
    x, residual, weight = make_inputs(8, torch.float32, device)
    weight.requires_grad_()
    (rms_norm(x, weight, 1e-6) + add_rms_norm(x, residual, weight, 1e-6)[0]).sum().backward()
    assert weight.grad.any()
