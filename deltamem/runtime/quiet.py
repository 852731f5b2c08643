"""Loading without other libraries' chatter, and the project's own progress lines instead."""

import contextlib
import sys
import warnings


@contextlib.contextmanager
def quiet_transformers():
    """Silence transformers' notes, warnings and progress bars for a while; errors still come through."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


class ConsoleProgress:
    """progress(stage, done, total) on stderr: a bar where the total is known in bytes, else one line a stage.

    A stage that is a sentence, with a full stop, tells of something that has ended.
    """

    def __init__(self):
        self._stage = None
        self._bar = None

    def __call__(self, stage, done, total=None):
        if stage != self._stage:
            self.close()
            self._stage = stage
            if total is None:
                print(stage if stage.endswith(".") else f"{stage} …", file=sys.stderr, flush=True)
        if total is not None:
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(desc=stage, total=total, unit="B", unit_scale=True, file=sys.stderr)
            self._bar.update(done - self._bar.n)

    def close(self):
        """End the running bar, if any."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
