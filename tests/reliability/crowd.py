"""How many users one device answers in time: all ask at the same moment, as many at once as the page lets through.

    python -m tests.reliability.crowd                               # the geometry of Qwen3-4B, random weights
    python -m tests.reliability.crowd --model demo --tokens 16

Each user has a page's first two columns, without and with memory, and a history in the memory. The first word counts
when both columns have one, and what was waited for a place counts too. The browser and HTTP are not in it: they are in
tests/reliability/load.py, which takes a model with a tokenizer.
"""

import argparse
import statistics
import threading
import time

import torch

from deltamem.runtime import Session
from deltamem.runtime.together import reply_together
from deltamem.tools.bench.__main__ import describe
from deltamem.tools.bench.subjects import GEOMETRIES
from tests.reliability.subjects import in_threads, machine, make_random

LIMIT_S = 2.0  # to the first words, for all but one in a hundred
AT_ONCE = 8 if torch.cuda.is_available() else 4  # pages that answer at the same time; the others wait
HISTORY = [
    {"role": "user", "content": "We sail on Friday if the weather holds. The boat is called Tulip. " * 4},
    {"role": "assistant", "content": "Then I wish you a good wind, and Tulip a dry hold."},
] * 2
QUESTION = "What is the name of the boat, and when does she sail if the weather holds?"


def quantile(values, share):
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Place:
    """The device, as users share it. at_once: how many are answered at the same time."""

    def __init__(self, model, at_once, tokens):
        self.tokens, self._turns = tokens, threading.Semaphore(at_once)
        self._first = [Session(model, memory=memory) for memory in (False, True)]
        for session in self._first:
            session.preload(HISTORY)

    def crowd(self, users):
        """Seconds to the first words of every user, when all of them ask at once."""
        pages = [[session.branch() for session in self._first] for _ in range(users)]
        gate = threading.Barrier(users)

        def ask(number):
            gate.wait()
            begin = time.monotonic()
            with self._turns:
                return self._answer(pages[number], begin)

        return in_threads(ask, range(users))

    def _answer(self, page, begin):
        spoke, first = set(), None
        for index, event in reply_together(page, QUESTION, max_new_tokens=self.tokens):
            if event.text and len(spoke) < len(page):
                spoke.add(index)
                first = time.monotonic() - begin
        return first


def most(place, seconds, say=print):
    """The largest number of users with p99 within LIMIT_S, by doubling and halving; a lower bound when time is up."""
    good, bad, end = 0, None, time.monotonic() + seconds
    while (bad is None or bad - good > 1) and time.monotonic() < end:
        users = (2 * good or 1) if bad is None else (good + bad) // 2
        found = place.crowd(users)
        p99 = quantile(found, 0.99)
        say(f"{users} users: first words after {statistics.median(found):.2f} s (median), {p99:.2f} s (p99)")
        good, bad = (users, bad) if p99 <= LIMIT_S else (good, users)
    return good, bad


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen3-4b-geometry", help=f"{', '.join(GEOMETRIES)}, or a preset or folder")
    parser.add_argument("--device", help="default: CUDA when there is one")
    parser.add_argument("--at-once", type=int, nargs="+", default=[AT_ONCE], help="pages that answer at the same time")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--seconds", type=float, default=30, help="after which no other number is tried")
    options = parser.parse_args(arguments)
    begin = time.monotonic()
    model = make_random(options.model, options.device)
    print(f"{model.name} on {describe(model)['device']}; {machine()}", flush=True)
    for at_once in options.at_once:
        place = Place(model, at_once, options.tokens)
        place.crowd(2 * at_once)  # what only the first answers need is there then
        print(f"{at_once} at once, answers of {options.tokens} tokens; {time.monotonic() - begin:.0f} s in", flush=True)
        good, bad = most(place, options.seconds, lambda line: print(line, flush=True))
        more = f"not for {bad}" if bad else "and more were not tried"
        print(f"p99 to the first words is within {LIMIT_S:g} s for {good} users, {more}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
