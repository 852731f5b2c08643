"""Many conversations at once: nothing of one appears in another, and each state is what it would be alone, bit by bit.

    python -m tests.reliability.isolation --sessions 50          # on the demo model; the figure of tests/RELIABILITY.md

Each session is told a fact of its own and asked two questions. All of them go on side by side, one event of a random
session at a time, from several threads; then each conversation is held once more with nobody else there.
"""

import argparse
import random
import time

from deltamem.compare.arms import PRESETS, make_session
from tests.reliability.subjects import in_threads

NAMES = "Amber Birch Clover Dahlia Ember Fennel Garnet Hazel Indigo Juniper Kestrel Laurel Maple Nettle Onyx".split()
ARMS = ("memory", "memory-rag", "memory-full", "base-full")


def canary(index):
    """A word that belongs to one session."""
    return f"{NAMES[index % len(NAMES)]}{1000 + 37 * index}"


def questions(index):
    return (f"Say the code word of box {index}.", "And what else do you know?")


def converse(session, index, tokens):
    """The steps of one conversation, as a generator that yields between passes."""
    done = []
    session.preload([{"role": "user", "content": f"The code word of box {index} is {canary(index)}."}])
    yield
    for question in questions(index):
        for event in session.reply(question, max_new_tokens=tokens, temperature=0.7, seed=index):
            done.append(event)
            yield


def together(model, count, tokens, threads=4, seed=0):
    """`count` sessions after their conversations, which went on side by side in `threads` threads."""
    sessions = [make_session(model, PRESETS[ARMS[index % len(ARMS)]]) for index in range(count)]

    def work(first):
        dice = random.Random(seed + first)
        running = {index: converse(sessions[index], index, tokens) for index in range(first, count, threads)}
        while running:
            index = dice.choice(list(running))
            if next(running[index], running) is running:
                del running[index]

    in_threads(work, range(threads))
    return sessions


def alone(model, index, tokens):
    """The session of the same conversation with nobody else there."""
    session = make_session(model, PRESETS[ARMS[index % len(ARMS)]])
    for _ in converse(session, index, tokens):
        pass
    return session


def told(session):
    """All words of a session, and all states after its steps."""
    states = [(shot.label, shot.states.tobytes(), shot.beta.tobytes()) for shot in session.snapshots]
    return session.history, session.messages, states


def leaks(sessions, folder):
    """(index, other) of every session in whose words or file the canary of another stands."""
    found = []
    for index, session in enumerate(sessions):
        path = folder / f"{index}.safetensors"
        session.save(path)
        text = str((session.history, session.messages, session.stats())) + path.read_bytes().decode("latin-1")
        assert canary(index) in text
        found += [(index, other) for other in range(len(sessions)) if other != index and canary(other) in text]
    return found


def main():
    import tempfile
    from contextlib import nullcontext
    from pathlib import Path

    from deltamem.runtime import load_model
    from tests.reliability.subjects import tiny_model

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=8, help="of an answer")
    parser.add_argument(
        "--base", default="demo", help='a preset, hub id or folder, or "tiny" for the small model of tests'
    )
    options = parser.parse_args()
    with tiny_model() if options.base == "tiny" else nullcontext((load_model(options.base), None)) as (model, _):
        begin = time.monotonic()
        sessions = together(model, options.sessions, options.tokens)
        seconds = time.monotonic() - begin
        with tempfile.TemporaryDirectory() as folder:
            found = leaks(sessions, Path(folder))
        same = sum(told(session) == told(alone(model, i, options.tokens)) for i, session in enumerate(sessions))
    print(
        f"{options.sessions} sessions side by side in 4 threads, {seconds:.0f} s: {len(found)} leaks, "
        f"{same} of {options.sessions} equal to the same conversation alone, bit by bit"
    )
    return len(found) + options.sessions - same


if __name__ == "__main__":
    raise SystemExit(main())
