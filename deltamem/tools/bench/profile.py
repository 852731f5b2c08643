"""Where a decoding step's time goes: every kernel with its launches and microseconds."""

from torch.profiler import ProfilerActivity, profile

from deltamem.tools.bench.checks import seated
from deltamem.tools.bench.measures import Clock
from deltamem.tools.bench.subjects import token_ids

STEPS = 8


def step_profile(model, label, tokens, most=24):
    """Lines of a table for one answer of an adapter (None: base) behind `tokens` tokens."""
    cuda = model.device.type == "cuda"
    clock = Clock(model.device)
    with seated(model, [model.adapters.get(label)], token_ids(model, tokens), 4 * STEPS) as (batch, _):
        if batch is None:
            return ["no decoding engine"]
        for _ in range(STEPS):
            batch.seats[0].next()
        begin = clock.now()
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as record:
            for _ in range(STEPS):
                batch.seats[0].next()
            wall = 1e6 * (clock.now() - begin) / STEPS
    found = []
    for event in record.key_averages():
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        if spent > 0:
            found.append((spent / STEPS, event.count / STEPS, event.key))
    found.sort(reverse=True)
    lines = [
        f"{label or 'base'} behind {tokens:,} tokens: {sum(f[0] for f in found):.0f} µs in kernels, "
        f"{sum(f[1] for f in found):.0f} launches, {wall:.0f} µs by the clock (under the profiler), a step",
        f"{'µs a step':>10} {'launches':>9} {'µs each':>8}  kernel",
    ]
    lines += [f"{spent:10.1f} {count:9.1f} {spent / count:8.2f}  {name[:110]}" for spent, count, name in found[:most]]
    return lines
