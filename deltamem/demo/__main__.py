"""Entry point of `python -m deltamem.demo`."""

import sys

from deltamem.runtime.threads import give_way

give_way()  # before the import that brings PyTorch

from deltamem.demo.chat import main  # noqa: E402

for stream in (sys.stdin, sys.stdout, sys.stderr):
    stream.reconfigure(errors="replace")  # no byte on the input and no terminal's character set may end the chat
sys.exit(main())
