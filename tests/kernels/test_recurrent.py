"""The Triton scan against the plain loop: compiled where there is a GPU, interpreted elsewhere."""

import os
import subprocess
import sys

import pytest
import torch

CHECK = """
import sys, torch
from deltamem.kernels.affine_scan import affine_scan_naive
from deltamem.kernels.affine_scan.recurrent import affine_scan_recurrent

device = sys.argv[1]
for B, H, T, r, masked in [(1, 1, 1, 1, False), (2, 4, 7, 8, True), (2, 1, 33, 5, False), (1, 2, 12, 16, True)]:
    torch.manual_seed(T)
    made = [torch.randn(B, T, H, r) for _ in range(3)] + [torch.rand(B, T, H, r) for _ in range(3)]
    made[1] = torch.nn.functional.normalize(made[1], dim=-1)
    inputs = [x.to(device).transpose(1, 2).requires_grad_() for x in made]
    inputs.append(torch.randn(B, H, r, r, device=device, requires_grad=True))
    mask = torch.rand(B, T, device=device) > 0.4 if masked else None
    results = []
    for scan in (affine_scan_naive, affine_scan_recurrent):
        reads, state = scan(*inputs, mask)
        torch.manual_seed(0)
        loss = (reads * torch.randn_like(reads)).sum() + (state * torch.randn_like(state)).sum()
        results.append([reads, state, *torch.autograd.grad(loss, inputs)])
    for plain, fast in zip(*results):
        error = ((plain - fast).norm() / plain.norm().clamp_min(1e-6)).item()
        assert error < 1e-5, (B, H, T, r, masked, error)
print("equal")
"""


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_recurrent_equals_naive(device):
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1"} if device == "cpu" else dict(os.environ)
    # A process of its own: the interpreter is switched on when Triton is imported.
    run = subprocess.run(
        [sys.executable, "-c", CHECK, device], capture_output=True, text=True, env=environment, check=False
    )
    assert run.stdout.strip() == "equal", run.stderr[-2000:]


@pytest.mark.gpu
def test_dispatch_takes_it_on_a_gpu():
    from deltamem.kernels.affine_scan.dispatch import BACKENDS

    assert "recurrent" in BACKENDS and torch.cuda.is_available()


@pytest.mark.gpu
def test_any_gpu_will_do():
    """Tensors on another GPU than the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    run = subprocess.run([sys.executable, "-c", CHECK, "cuda:1"], capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "equal", run.stderr[-2000:]
