"""Memory that the process has freed, given back to the system. All of it is about glibc; elsewhere nothing is done.

What a pass computes lies in a heap of the thread that computed it, and glibc keeps a heap up to its highest piece in
use: some small thing that stays, an answer's text say, keeps all the memory below it.
"""

import ctypes
import os
from functools import cache

HEAPS = 2
_M_ARENA_MAX = -8  # from malloc.h


def share_heaps():
    """Let all threads share a few heaps instead of eight for each core, unless the environment already says otherwise.

    To be called by programs before they start threads.
    """
    if "MALLOC_ARENA_MAX" not in os.environ and (mallopt := _function("mallopt")):
        mallopt(_M_ARENA_MAX, HEAPS)


def trim():
    """Give back what is free in all heaps."""
    if give_back := _function("malloc_trim"):
        give_back(0)


@cache
def _function(name):
    """One of the C library's, or None where it has no such function."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # another C library; Windows, which wants a name
        return None
