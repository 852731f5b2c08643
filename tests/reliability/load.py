"""Many users at once, at the real server over HTTP: how they are served, and what it costs.

    python -m tests.reliability.load --users 20        # the demo model on this machine

Each user has a page, asks at the same moment and reads the answer as it comes. Afterwards they leave, and as many
others ask the same, for the memory that the server takes; with --stay the same users ask again, and their
conversations, whose states are kept, grow. How many are too many for a GPU is counted by crowd.py, without HTTP.
"""

import argparse
import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.reliability.crowd import quantile
from tests.reliability.serving import Visitor, client, event, served_model
from tests.reliability.subjects import in_threads, machine

SETTLED_S = 2  # after a batch, for pages to be closed


@dataclass
class Asked:
    """How one user fared. places: in the queue, as told. first_s, all_s: seconds to the first and the last word."""

    places: list = field(default_factory=list)
    first_s: float | None = None
    all_s: float | None = None
    error: str | None = None


def ask(visitor, index, question, tokens):
    """One user's question."""
    told, begin = Asked(), time.monotonic()
    inputs = visitor.inputs(index, {"ask-text": question, "ask-max-tokens": tokens})
    for message in visitor.messages(index, inputs):
        if message["msg"] == "refused":
            told.error = message["detail"]
        elif message["msg"] == "estimation":
            told.places.append(message["rank"])
        elif message["msg"] == "process_generating" and told.first_s is None and has_words(message):
            told.first_s = time.monotonic() - begin
        elif message["msg"] == "process_completed":
            told.all_s = time.monotonic() - begin
            if not message["success"]:
                told.error = str(message["output"].get("error"))
    return told


def has_words(message):
    """Whether a message adds to the text of an answer: Gradio sends what changed, with the place where it did."""
    changes = [change for output in message["output"]["data"] if isinstance(output, list) for change in output]
    return any(isinstance(change, list) and change[1][-1:] == ["text"] for change in changes)


def at_once(visitors, index, question, tokens):
    """All visitors ask at the same moment: their Asked."""
    gate = threading.Barrier(len(visitors))

    def work(number):
        gate.wait()
        return ask(visitors[number], index, question, tokens)

    return in_threads(work, range(len(visitors)))


def visitors(held, page, config, count):
    """`count` open pages, closed with `held`."""
    found = [Visitor(page.address, config) for _ in range(count)]
    for one in found:
        held.callback(one.leave)
    return found


def report(name, asked):
    """One line on a batch of questions."""
    good = [one for one in asked if one.first_s is not None and one.error is None]
    waited = sum(any(place for place in one.places) for one in good)
    line = f"{name}: {len(good)} of {len(asked)} served, {waited} of them told their place in the queue first"
    if good:
        firsts, alls = ([getattr(one, name) for one in good] for name in ("first_s", "all_s"))
        line += (
            f"; first word after {statistics.median(firsts):.1f} s (median), {quantile(firsts, 0.99):.1f} s (p99), "
            f"whole answers after {max(alls):.1f} s at most"
        )
    refused = {one.error for one in asked if one.error}
    return line + "".join(f"\n  refused: {text}" for text in sorted(refused))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="demo")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=16, help="of an answer")
    parser.add_argument("--batches", type=int, default=2, help="of questions, for the memory that is kept")
    parser.add_argument("--stay", action="store_true", help="the same users ask in every batch")
    parser.add_argument("--app", default="", help="more options for app.py, in one argument")
    options = parser.parse_args()
    with served_model("--base", options.base, *options.app.split()) as page, ExitStack() as held:
        config = client(page.address).get("/config").json()
        index = event(config, "ask-send")
        first = visitors(held, page, config, 1)
        at_once(first, index, "Hello!", options.tokens)  # what only the first answer needs is there then
        print(machine())
        print(f"before: {page.memory / 2**20:.0f} MiB")
        users = visitors(held, page, config, options.users) if options.stay else None
        for batch in (f"batch {number + 1}" for number in range(options.batches)):
            with ExitStack() as present:
                asking = users or visitors(present, page, config, options.users)
                asked = at_once(asking, index, "What is the name of my boat?", options.tokens)
            print(report(batch, asked), flush=True)
            time.sleep(SETTLED_S)
            at_once(first, index, "Hello!", 1)  # memory is given back when a job ends, or within a minute
            print(f"  memory afterwards: {page.memory / 2**20:.0f} MiB, at most {page.peak / 2**20:.0f}", flush=True)
        print(report("one afterwards", at_once(first, index, "Still there?", 8)))


if __name__ == "__main__":
    main()
