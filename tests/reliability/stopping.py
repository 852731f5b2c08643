"""How long it takes until an answer that is stopped, or whose tab is closed, has ended, on every arm.

    python -m tests.reliability.stopping               # the demo model; the figures of tests/RELIABILITY.md

The page answers at length in a thread of its own, as on the server, and is stopped at random moments. What ends is the
whole of it: decoding, what is written to close the answer, and the place that the page held. Seconds of the process's
own CPU time are told too: with one thread they are what it takes on a machine that does nothing else.
"""

import argparse
import random
import threading
import time

from deltamem.compare.arms import PRESETS
from deltamem.runtime import load_model
from deltamem.transcripts import Transcript
from tests.reliability.subjects import HISTORY, machine
from ui.history import write
from ui.registry import Registry
from ui.talk import talk
from ui.workspace import Workspace


def page_of(model, keys):
    """A page with these columns, which have read a history."""
    page = Workspace(model)
    page.arms = {key: page.new_column(PRESETS[key]) for key in keys}
    for _ in write(page, Transcript(HISTORY, "test")):
        pass
    return page


def start(page, steps, number=0):
    """Run the page's work in a thread; returns (began, done, errors): two events and a list.

    number: the step, counted from 0, that the work has begun with.
    """
    began, done, errors = threading.Event(), threading.Event(), []

    def run():
        try:
            with page.claim():
                for index, _ in enumerate(steps):
                    if index == number:
                        began.set()
        except Exception as error:
            errors.append(error)
        finally:
            done.set()
            began.set()

    threading.Thread(target=run, daemon=True).start()
    return began, done, errors


def seconds_to_end(model, keys, how, delay):
    """(seconds, CPU seconds) from the stop, or the closing of the tab, until the page is free."""
    page = page_of(model, keys)
    registry = Registry(lambda: page)
    registry.open("tab")
    began, done, errors = start(page, talk(page, "Tell me a long story about the sea.", max_new_tokens=2000))
    began.wait()
    time.sleep(delay)
    assert page.busy and not done.is_set(), f"the answer ended by itself: {errors}"
    begin = time.perf_counter(), time.process_time()
    page.stop.set() if how == "stop" else registry.close_page("tab")
    done.wait()
    if errors:
        raise errors[0]
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="demo")
    parser.add_argument("--times", type=int, default=8, help="each arm is stopped, and as often left")
    options = parser.parse_args(arguments)
    model, dice = load_model(options.base), random.Random(0)
    model.decoder.warm_up([None, model.adapter])  # as app.py does before the page opens
    print(f"{machine()}\n")
    print("| columns | stopped: longest s, CPU s | tab closed: longest s, CPU s |\n|---|---|---|")
    for keys in [*([key] for key in PRESETS), ["base-rag", "base-full", "memory-rag", "memory-full"]]:
        cells = []
        for how in ("stop", "leave"):
            found = [seconds_to_end(model, keys, how, dice.uniform(0.05, 1.0)) for _ in range(options.times)]
            cells.append(", ".join(f"{max(seconds):.2f}" for seconds in zip(*found, strict=True)))
        print(f"| {' + '.join(PRESETS[key].title for key in keys)} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
