"""Memory that the process has freed, given back to the system."""

import ctypes
from functools import cache


def trim():
    """Give back what is free; does nothing where the C library is not glibc.

    What a pass computes lies in the heap of the thread that computed it, and glibc keeps a heap up to its highest
    piece in use: some small thing that stays, an answer's text say, keeps all the memory below it.
    """
    give_back = _malloc_trim()
    if give_back is not None:
        give_back(0)


@cache
def _malloc_trim():
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library; Windows, which wants a name
        return None
