"""Kernels of a decode step begin while the one before still runs (programmatic dependent launch, from Hopper on).

A kernel launched with `overlap(x)` may start early: it must `wait()` before it touches anything that another kernel
writes, and until then reads weights at most. `let_next_begin()` says that the kernel behind may start. Both are nothing
on other GPUs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


def overlap(x: Tensor) -> dict[str, bool]:
    """Launch options for kernels that take OVERLAP and begin as above."""
    able = x.is_cuda and torch.cuda.get_device_capability(x.device) >= (9, 0)
    return {"OVERLAP": able, "launch_pdl": able}


@triton.jit
def let_next_begin(OVERLAP: tl.constexpr):
    if OVERLAP:
        tl.extra.cuda.gdc_launch_dependents()


@triton.jit
def wait(OVERLAP: tl.constexpr):
    if OVERLAP:
        tl.extra.cuda.gdc_wait()
