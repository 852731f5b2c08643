"""Train an adapter: python -m deltamem.train --config smollm2-135m msw --out runs/msw

Several GPUs: accelerate launch --num_processes 2 -m deltamem.train --config …   The backbone is frozen; conversations
are made on the fly from a seed, see episodes.py. Ctrl-C or a kill leaves the last checkpoint; the same command with
--resume goes on from it.
"""

import sys

from deltamem.core.errors import DeltaMemError

from .options import parse
from .run import train


def main(argv=None) -> int:
    try:
        run, options = parse(argv)
        train(options, run.out, run.resume)
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
