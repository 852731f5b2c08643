"""What is run, in which order, and how each figure is kept: cheap and important things first, until time is up."""

import time

from deltamem.tools.bench import measures

ARMS = {"two arms": [None, "TSW"], "four arms": [None, "TSW", None, "TSW"]}


class Results:
    """Figures as a flat list of dicts, for JSON and for the table.

    Each has "item" (what was measured), "subject" ("base", "TSW" …, or an arm's name), "tokens" and its values.
    """

    def __init__(self, minutes, say=print):
        self.rows, self.skipped = [], []
        self._end = time.perf_counter() + 60 * minutes
        self._say = say

    def take(self, item, subject, tokens, work):
        """Run work() -> dict or number and keep it, unless time is up or the device has no room for it."""
        name = f"{item} {subject} {tokens:,}"
        if time.perf_counter() > self._end:
            self.skipped.append(name)
            return None
        try:
            found = work()
        except RuntimeError as error:  # out of memory, mostly: one figure less
            self.skipped.append(f"{name}: {error}".splitlines()[0])
            return None
        if found is None:
            self.skipped.append(f"{name}: no decoding engine")
            return None
        row = {"item": item, "subject": subject, "tokens": tokens}
        row |= found if isinstance(found, dict) else {"value": found}
        self.rows.append(row)
        values = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
        self._say(f"{name}: {values}", flush=True)
        return row

    def find(self, item, subject, tokens):
        for row in self.rows:
            if (row["item"], row["subject"], row["tokens"]) == (item, subject, tokens):
                return row
        return None


def measure_all(model, results, lengths, preloads, steps):
    """Fill `results`. lengths: prompts. preloads: lengths of histories. steps: decoding steps of one figure."""
    adapters = {"base": None, **{label: model.adapters[label] for label in ("TSW", "MSW", "SSW")}}
    take = results.take
    # Base and memory alternate, so that a change of the machine's mood shows in both.
    for tokens in lengths:
        for label in ("base", "TSW"):
            take("decode", label, tokens, lambda a=adapters[label], t=tokens: measures.decode(model, [a], t, steps))
            take("prefill", label, tokens, lambda a=adapters[label], t=tokens: measures.prefill(model, a, t))
    take("scan", "TSW", max(lengths), lambda: measures.scan(model.device, max(lengths)))
    for name, labels in ARMS.items():
        arms = [label and adapters[label] for label in labels]
        take("decode", name, lengths[0], lambda a=arms: measures.decode(model, a, lengths[0], steps))
    for tokens in preloads[:1]:
        take("preload", "TSW", tokens, lambda t=tokens: measures.preload(model, adapters["TSW"], t))
    for label in ("MSW", "SSW"):
        for tokens in (lengths[0], lengths[-1]):
            take("decode", label, tokens, lambda a=adapters[label], t=tokens: measures.decode(model, [a], t, steps))
        take("prefill", label, lengths[-1], lambda a=adapters[label]: measures.prefill(model, a, lengths[-1]))
    for tokens in preloads[1:]:
        take("preload", "TSW", tokens, lambda t=tokens: measures.preload(model, adapters["TSW"], t))
    take("plain loop", "base", lengths[0], lambda: measures.plain_decode(model, None, lengths[0], steps // 2))
    take("plain loop", "TSW", lengths[0], lambda: measures.plain_decode(model, adapters["TSW"], lengths[0], steps // 2))


def speed_against_history(model, results, histories, steps):
    """Decoding speed behind prompts, and with the same history in the state instead, for the plot."""
    for tokens in histories:
        for label in ("base", "TSW"):
            if results.find("decode", label, tokens) is None:
                adapter = model.adapters.get(label)
                results.take(
                    "decode", label, tokens, lambda a=adapter, t=tokens: measures.decode(model, [a], t, steps // 2)
                )
