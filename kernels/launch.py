"""What every Triton launch of these kernels needs."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def on_device_of(x: Tensor) -> AbstractContextManager:
    """Triton launches on the current GPU, which need not be the one that holds the tensors."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
