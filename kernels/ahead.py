"""Compiling kernels before they are launched, side by side: one after the other they are most of a first start."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from triton import knobs

from .launch import on_device_of

log = logging.getLogger(__name__)
_ONE = threading.Lock()  # Triton has one hook for all threads


def compile_ahead(work: Callable[[], object], device: torch.device) -> int:
    """Call work() without launching those of its kernels that are not there yet, then get all of these at once.

    What work() computes means nothing. A kernel that does not compile is left to its first launch, which says why.

    Args:
        work: launches this package's kernels on a GPU, and depends on their results for nothing but numbers.
        device: the GPU.

    Returns:
        How many kernels were not there yet.
    """
    wanted, caller = {}, threading.get_ident()

    def note(*, key, fn, compile, **more):
        if fn.module.startswith(__package__) and threading.get_ident() == caller:
            wanted[fn.jit_function, key] = compile["specialization_data"]
            return True  # neither compiled nor launched
        return before(key=key, fn=fn, compile=compile, **more) if before else False

    def get(kernel, specialization):
        with on_device_of(torch.empty(0, device=device)):
            kernel.preload(specialization).run  # noqa: B018  what launches it has to be compiled, too

    with _ONE:
        before = knobs.runtime.jit_cache_hook
        knobs.runtime.jit_cache_hook = note
        try:
            work()
        finally:
            knobs.runtime.jit_cache_hook = before
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(get, kernel, specialization) for (kernel, _), specialization in wanted.items()]
    for failure in filter(None, (one.exception() for one in found)):
        log.debug("a kernel was not compiled ahead: %s", failure)
    return len(wanted)
