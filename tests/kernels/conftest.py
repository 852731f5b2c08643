"""Kernels run compiled where there is a GPU and interpreted elsewhere; uninitialised memory holds NaN."""

import importlib.util

import pytest
import torch


@pytest.fixture(autouse=True)
def poison():
    """PyTorch fills `empty` with NaN (integers with their maximum) in its deterministic mode."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Where Triton's kernels can run here."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("needs Triton")
    if request.param == "cpu" and torch.cuda.is_available():
        pytest.skip("kernels are compiled where there is a GPU")
    return request.param
