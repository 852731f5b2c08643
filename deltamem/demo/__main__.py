"""Entry point of `python -m deltamem.demo`."""

import sys

from deltamem.demo.chat import main

sys.exit(main())
