"""What was freed goes back to the system."""

import subprocess
import sys

import pytest

from deltamem.runtime.heap import _malloc_trim, trim

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


@pytest.mark.skipif(_malloc_trim() is None, reason="this C library has no malloc_trim")
def test_memory_between_pieces_in_use_goes_back():
    """128 MiB, of which every hundredth piece stays."""
    run = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert int(run.stdout) > 100


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    _malloc_trim.cache_clear()
    try:
        trim()
        assert _malloc_trim() is None
    finally:
        _malloc_trim.cache_clear()
