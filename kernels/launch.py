"""What every Triton launch of these kernels needs."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def on_device_of(x: Tensor) -> AbstractContextManager:
    """Triton launches on the current GPU, which need not be the one that holds the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def wants_gradients(*tensors: Tensor | None) -> bool:
    """Whether autograd would record what is done to these tensors: forward-only kernels leave that to PyTorch."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)


def check_rank(rank: int, limit: int) -> None:
    """Raise ValueError for a rank that a kernel's registers do not hold."""
    if rank > limit:
        raise ValueError(f"rank is {rank}; the kernel holds up to {limit}, use the dispatcher or the plain form")
