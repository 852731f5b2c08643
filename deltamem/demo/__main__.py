"""Entry point of `python -m deltamem.demo`."""

import os
import sys

# Read by OpenMP when PyTorch is imported. Threads that spin while they wait make decoding many times slower as soon as
# another program wants a core of a small machine; threads that sleep do not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from deltamem.demo.chat import main  # noqa: E402

for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")  # no byte on the input and no terminal's character set may end the chat
sys.exit(main())
