"""Compiling kernels before they are launched, side by side: one after the other they are most of a first start."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import torch
from triton import knobs

from .launch import on_device_of


def compile_ahead(work: Callable[[], object], device: torch.device) -> int:
    """Call work() without launching those of its kernels that are not there yet, then get all of these at once.

    What work() computes means nothing. A kernel that does not compile is left to its first launch, which says why.

    Args:
        work: launches this package's kernels on a GPU, and depends on their results for nothing but numbers.
        device: the GPU.

    Returns:
        The number of kernels that were compiled, or read from the disk where Triton keeps them.
    """
    wanted, caller, before = {}, threading.get_ident(), knobs.runtime.jit_cache_hook

    def note(*, key, fn, compile, **_):
        ours = fn.module.startswith(__package__) and threading.get_ident() == caller
        if ours:
            wanted[fn.name, key] = fn.jit_function, compile["specialization_data"]
        return ours  # true: neither compiled nor launched

    def get(kernel, specialization):
        with on_device_of(torch.empty(0, device=device)):
            kernel.preload(specialization).run  # noqa: B018  what launches it has to be compiled, too

    knobs.runtime.jit_cache_hook = note
    try:
        work()
    finally:
        knobs.runtime.jit_cache_hook = before
    with ThreadPoolExecutor() as pool:
        wait([pool.submit(get, *one) for one in wanted.values()])
    return len(wanted)
