"""Rotary positions: the plain form is transformers' own, the kernel agrees with it."""

import pytest
import torch
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm, apply_rotary_pos_emb

from deltamem.kernels.rotary import HeadNorms, rotary, rotary_naive

from .errors import DTYPES, noise, relative, tolerance


def make_inputs(B, heads, kv_heads, D, dtype, device="cpu"):
    q = noise(B, heads, D, seed=1, device=device, dtype=dtype)
    k = noise(B, kv_heads, D, seed=2, device=device, dtype=dtype)
    angles = noise(B, D // 2, seed=3, device=device).repeat(1, 2)
    norms = HeadNorms(*(noise(D, seed=seed, device=device, dtype=dtype) for seed in (4, 5)), 1e-6)
    return q, k, angles.cos().to(dtype), angles.sin().to(dtype), norms


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_naive_is_transformers(dtype):
    q, k, cos, sin, norms = make_inputs(2, 4, 2, 16, dtype)
    expected = apply_rotary_pos_emb(q[:, :, None], k[:, :, None], cos[:, None], sin[:, None])
    for got, wanted in zip(rotary(q, k, cos, sin), expected, strict=True):
        assert torch.equal(got, wanted[:, :, 0])
    normed = []
    for x, weight in ((q, norms.q), (k, norms.k)):
        module = Qwen3RMSNorm(16, eps=1e-6).to(dtype)
        module.weight.data.copy_(weight)
        normed.append(module(x))
    for got, wanted in zip(rotary(q, k, cos, sin, norms), rotary_naive(*normed, cos, sin), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("normed", [False, True], ids=["plain", "normed"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("B", "heads", "kv_heads", "D"), [(1, 1, 1, 2), (3, 5, 1, 16), (2, 8, 2, 128)])
def test_fused_agrees(device, B, heads, kv_heads, D, dtype, normed):
    from deltamem.kernels.rotary.fused import rotary_fused

    q, k, cos, sin, norms = make_inputs(B, heads, kv_heads, D, dtype, device)
    joint = torch.cat((q, k), dim=1)  # views of one projection's output
    q, k = joint[:, :heads], joint[:, heads:]
    norms = norms if normed else None
    for got, expected in zip(rotary_fused(q, k, cos, sin, norms), rotary_naive(q, k, cos, sin, norms), strict=True):
        assert got.shape == expected.shape and got.dtype == dtype
        assert relative(got, expected) < tolerance(dtype)
