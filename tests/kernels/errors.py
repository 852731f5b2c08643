"""How far two results are apart."""

import torch
from torch import Tensor

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def relative(got: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected; NaN is never close."""
    got, expected = got.detach().double().cpu(), expected.detach().double().cpu()
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float((got - expected).norm() / expected.norm().clamp_min(1e-30))


def tolerance(dtype: torch.dtype) -> float:
    """What a few roundings to a dtype may cost; sums in float32 may run in another order.

    Triton's interpreter cuts bfloat16 off where the GPU rounds.
    """
    interpreted = not torch.cuda.is_available()
    return {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 2e-2 if interpreted else 6e-3}[dtype]


def noise(*size: int, seed: int = 0, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same on every device."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(device, dtype)
