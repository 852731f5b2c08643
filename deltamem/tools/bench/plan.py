"""What is measured, in which order: what matters most first, until time is up."""

import time

from deltamem.runtime.errors import SessionError
from deltamem.tools.bench import measures

VARIANTS = ("MSW", "SSW")


class Results:
    """Figures as a flat list of dicts, kept after every part.

    Each has "item" (what was measured), "subject" ("base", "TSW" …, or an arm's name), "tokens" and its values.
    """

    def __init__(self, seconds, keep=lambda: None, say=print):
        """seconds: nothing new is begun after them. keep(): called after every part."""
        self.rows, self.skipped = [], []
        self._end = time.perf_counter() + seconds
        self._keep, self._say = keep, say

    @property
    def left(self):
        """Seconds."""
        return self._end - time.perf_counter()

    def take(self, item, tokens, work):
        """Keep what work() finds, {subject: {name: value}}, unless time is up or the device has no room for it."""
        if self.left < 0:
            self.skipped.append(f"{item} {tokens:,}: no time left")
            return
        begin = time.perf_counter()
        try:
            found = work()
        except (RuntimeError, SessionError) as error:  # out of memory, mostly: one figure less
            self.skipped.append(f"{item} {tokens:,}: {error}".splitlines()[0])
            found = {}
        if found is None:
            self.skipped.append(f"{item} {tokens:,}: no decoding engine, or no time to end it")
        for subject, values in (found or {}).items():
            self.rows.append({"item": item, "subject": subject, "tokens": tokens} | values)
            shown = ", ".join(f"{k} {v:.4g}" for k, v in values.items() if isinstance(v, float))
            self._say(f"{item} {subject} {tokens:,}: {shown}", flush=True)
        self._say(f"  ({time.perf_counter() - begin:.1f} s)", flush=True)
        self._keep()


def measure_all(model, results, lengths, preloads, histories, steps, rounds, reserve):
    """Fill `results`. lengths: prompts. preloads: histories to write. histories: more prompts, for the plot.

    steps: decoding steps of one round. rounds: in which base and memory take turns, so that both have the same machine.
    reserve: seconds that the longest history leaves.
    """
    take, short, long = results.take, lengths[0], lengths[-1]
    tsw = model.adapters["TSW"]
    pair = {"base": None, "TSW": tsw}
    alone = {name: [adapter] for name, adapter in pair.items()}
    others = {"base": None} | {label: model.adapters[label] for label in VARIANTS}
    together = {"base": [None], "two arms": [None, tsw], "four arms": [None, tsw, None, tsw]}

    def decode(batches, tokens, item="decode", turned=False):
        take(item, tokens, lambda: measures.decode(model, batches, tokens, steps, rounds, turned=turned))

    def prefill(arms, tokens):
        few = min(rounds, 3) if tokens > 8192 else rounds
        take("prefill", tokens, lambda: measures.prefill(model, arms, tokens, few))

    def preload(tokens):
        """The states after it, empty when it was not measured."""
        after = {}

        def work():
            found, states = measures.preload(model, tsw, tokens, lambda: results.left < reserve)
            if found is None:
                return None
            after.update(states)
            return {"TSW": found}

        take("preload", tokens, work)
        return after

    for tokens in dict.fromkeys((short, long)):
        decode(alone, tokens, turned=True)
        prefill(pair, tokens)
    for label, adapter in pair.items():
        take("peak", long, lambda label=label, adapter=adapter: {label: measures.peak(model, adapter, long)})
    take("scan", long, lambda: {"TSW": measures.scan(model.device, long)})
    decode(together, short, "arms")
    preload(preloads[0])
    for tokens in dict.fromkeys((short, long)):
        decode({name: [adapter] for name, adapter in others.items()}, tokens, "variants", True)
    prefill(others, long)
    for tokens in preloads[1:]:
        states = preload(tokens)
        if states:
            take(
                "decode after preload",
                tokens,
                lambda states=states: measures.decode(model, alone, min(lengths[0], 1024), steps, rounds, states),
            )
    for tokens in (*lengths[1:-1], *histories):
        decode(alone, tokens)
    take("plain loop", short, lambda: measures.plain_decode(model, pair, short, max(1, steps // 4), rounds))
