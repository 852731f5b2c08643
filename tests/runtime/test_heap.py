"""What was freed goes back to the system."""

import os
import subprocess
import sys

import pytest

from deltamem.runtime.heap import HEAPS, _function, share_heaps, trim

SCATTERED = """
from pathlib import Path
from deltamem.runtime.heap import trim

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))

pieces = [bytearray(2**16) for _ in range(2048)]
kept = pieces[::100]
del pieces
before = held()
trim()
print(before - held())
"""


THREADS = """
import ctypes, threading
from pathlib import Path
from deltamem.runtime.heap import share_heaps

share_heaps()
gate, kept = threading.Barrier(12), []

def work():
    gate.wait()
    kept.append(bytearray(2**16))
    gate.wait()  # nobody ends before all have begun

threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""

glibc = pytest.mark.skipif(_function("malloc_trim") is None, reason="this C library is not glibc")


def said(script):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    ).stdout


@glibc
def test_memory_between_pieces_in_use_goes_back():
    """128 MiB, of which every hundredth piece stays."""
    assert int(said(SCATTERED)) > 100


@glibc
def test_threads_share_a_few_heaps():
    assert 1 <= said(THREADS).count("<heap nr=") <= HEAPS
    assert said(THREADS.replace("share_heaps()", "")).count("<heap nr=") > HEAPS  # which is what it is for


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    _function.cache_clear()
    try:
        trim()
        share_heaps()
        assert _function("malloc_trim") is _function("mallopt") is None
    finally:
        _function.cache_clear()
