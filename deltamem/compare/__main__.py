"""Compare ways to give a model its history, from the command line: python -m deltamem.compare --help."""

import sys

from deltamem.runtime.threads import give_way

STOPPED = 130


def main(arguments=None):
    """Run a comparison; returns the exit code (see --help)."""
    give_way()  # before PyTorch is imported
    try:
        from deltamem.compare.program import run  # takes seconds, in which Ctrl-C may come

        return run(arguments)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
