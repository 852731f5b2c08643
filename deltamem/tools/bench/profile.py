"""Where a decoding step's time goes: every kernel with its launches and microseconds."""

from contextlib import ExitStack

from torch.profiler import ProfilerActivity, profile

from deltamem.tools.bench.checks import seated
from deltamem.tools.bench.measures import Clock
from deltamem.tools.bench.subjects import token_ids

STEPS = 8


def step_profiles(model, labels, tokens, most=24):
    """Lines of a table for one answer of each adapter (None: base) behind `tokens` tokens."""
    clock, ids, lines = Clock(model.device), token_ids(model, tokens), {}
    with ExitStack() as held:
        batches = {}
        for label in labels:
            batches[label], _ = held.enter_context(seated(model, [model.adapters.get(label)], ids, 4 * STEPS))
            if batches[label] is None:
                return ["no decoding engine"]
        for _ in range(2):  # the first profile pays for the profiler's own start
            for label, batch in batches.items():
                lines[label] = _lines(label, tokens, *_recorded(batch.seats[0], clock), most)
    return [line for some in lines.values() for line in (*some, "")]


def _recorded(seat, clock):
    """([(µs, launches, kernel)] of a step, the most µs first; µs by the clock)."""
    seat.next()
    begin = clock.now()
    with profile(activities=[ProfilerActivity.CUDA if clock.cuda else ProfilerActivity.CPU]) as record:
        for _ in range(STEPS):
            seat.next()
        wall = 1e6 * (clock.now() - begin) / STEPS
    found = []
    for event in record.key_averages():
        spent = event.self_device_time_total if clock.cuda else event.self_cpu_time_total
        if spent > 0:
            found.append((spent / STEPS, event.count / STEPS, event.key))
    return sorted(found, reverse=True), wall


def _lines(label, tokens, found, wall, most):
    lines = [
        f"{label or 'base'} behind {tokens:,} tokens: {sum(f[0] for f in found):.0f} µs in kernels, "
        f"{sum(f[1] for f in found):.0f} launches, {wall:.0f} µs by the clock (under the profiler), a step",
        f"{'µs a step':>10} {'launches':>9} {'µs each':>8}  kernel",
    ]
    lines += [f"{spent:10.1f} {count:9.1f} {spent / count:8.2f}  {name[:110]}" for spent, count, name in found[:most]]
    return lines
