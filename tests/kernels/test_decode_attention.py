"""Decode attention: the plain form against SDPA, the kernel against the plain form."""

import pytest
import torch
import torch.nn.functional as F

from deltamem.kernels.decode_attention import decode_attention, decode_attention_naive, new_workspace

from .errors import noise, relative, tolerance


@pytest.fixture
def split(device):
    """The kernel, which takes tensors of this device."""
    from deltamem.kernels.decode_attention.split import decode_attention_split

    return decode_attention_split


def make_inputs(B, heads, kv_heads, L, D, dtype=torch.float32, device="cpu"):
    q = noise(B, heads, D, seed=1, device=device, dtype=dtype)
    return q, *(noise(B, kv_heads, L, D, seed=seed, device=device, dtype=dtype) for seed in (2, 3))


def with_garbage(k, v, lengths):
    """NaN behind every row's length."""
    k, v = k.clone(), v.clone()
    for row, length in enumerate(lengths.tolist()):
        k[row, :, length:] = float("nan")
        v[row, :, length:] = float("nan")
    return k, v


@pytest.mark.parametrize("length", [1, 9])
def test_naive_is_sdpa(length):
    q, k, v = make_inputs(2, 4, 2, 9, 8)
    lengths = torch.full((2,), length, dtype=torch.int32)
    expected = F.scaled_dot_product_attention(
        q[:, :, None], k[:, :, :length], v[:, :, :length], enable_gqa=True, scale=0.3
    )
    got = decode_attention(q, *with_garbage(k, v, lengths), lengths, scale=0.3)
    assert relative(got, expected[:, :, 0]) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "L", "D", "lengths"),
    [
        (4, 1, 257, 16, [257, 100]),
        (3, 3, 130, 32, [63, 1]),
        (6, 2, 64, 64, [64, 0]),
        (20, 1, 70, 16, [65, 70]),
    ],
    ids=str,
)
def test_split_agrees(split, device, heads, kv_heads, L, D, lengths, dtype):
    if device == "cpu" and dtype == torch.bfloat16:
        pytest.skip("Triton's interpreter multiplies no bfloat16 matrices")
    q, k, v = make_inputs(2, heads, kv_heads, L, D, dtype, device)
    lengths = torch.tensor(lengths, dtype=torch.int32, device=device)
    k, v = with_garbage(k, v, lengths)
    got = split(q, k, v, lengths)
    assert got.dtype == dtype
    assert relative(got, decode_attention_naive(q, k, v, lengths)) < tolerance(dtype)


def test_one_workspace_serves_many_steps(split, device):
    """Growing lengths, a cache that is a view with other strides, and a scale."""
    q, k, v = make_inputs(2, 4, 2, 200, 32, device=device)
    k, v = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (k, v))
    workspace = new_workspace(2, 4, 2, 32, torch.device(device))
    assert workspace.splits > 1
    for length in (1, 64, 65, 200):
        lengths = torch.tensor([length, 201 - length], dtype=torch.int32, device=device)
        got = split(q, *with_garbage(k, v, lengths), lengths, 0.2, workspace=workspace)
        assert relative(got, decode_attention_naive(q, *with_garbage(k, v, lengths), lengths, 0.2)) < 1e-5
        assert not workspace.arrived.any()


@pytest.mark.gpu
def test_compiled_at_full_size(split):
    q, k, v = make_inputs(2, 32, 8, 5000, 128, torch.bfloat16, "cuda")
    lengths = torch.tensor([4999, 257], dtype=torch.int32, device="cuda")
    assert relative(split(q, k, v, lengths), decode_attention_naive(q, k, v, lengths)) < 8e-3


def test_wrong_arguments():
    q, k, v = make_inputs(2, 4, 2, 9, 8)
    lengths = torch.ones(2, dtype=torch.int32)
    with pytest.raises(ValueError, match="Hq a multiple of Hkv"):
        decode_attention(q[:, :3], k, v, lengths)
    with pytest.raises(ValueError, match=r"lengths is \[1\]; give \[2\]"):
        decode_attention(q, k, v, lengths[:1])
    with pytest.raises(ValueError, match="float32, torch.float16, torch.float32; give one dtype"):
        decode_attention(q, k.half(), v, lengths)


def test_limits_of_the_kernel(split, device):
    q, k, v = make_inputs(1, 4, 2, 9, 24, device=device)
    lengths = torch.ones(1, dtype=torch.int32, device=device)
    with pytest.raises(ValueError, match="24 dimensions.*16, 32.*plain form"):
        split(q, k, v, lengths)
    q, k, v = make_inputs(1, 4, 2, 9, 16, device=device)
    other = new_workspace(1, 4, 4, 16, torch.device(device))
    with pytest.raises(ValueError, match=r"made for.*\(1, 4, 4, 16\) and is given \(1, 4, 2, 16\).*new_workspace"):
        split(q, k, v, lengths, workspace=other)


def test_gradients_are_those_of_the_plain_form():
    q, k, v = (x.requires_grad_() for x in make_inputs(1, 4, 2, 9, 8))
    decode_attention(q, k, v, torch.tensor([5], dtype=torch.int32)).sum().backward()
    assert q.grad.any() and k.grad[:, :, :5].any() and not k.grad[:, :, 5:].any()
