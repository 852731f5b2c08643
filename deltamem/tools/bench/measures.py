"""The measurements. Times are host times around synchronised work."""

import gc
import re
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import torch

from deltamem.kernels.affine_scan import affine_scan
from deltamem.runtime.blocks import CHUNK, GROUP, block, history_groups, passes
from deltamem.runtime.run import Run
from deltamem.tools.bench.checks import seated
from deltamem.tools.bench.subjects import token_ids

WARM_UP = 8  # steps before a decoding time begins
STATUS = Path("/proc/self/status")


class Clock:
    """Time on the model's device, and peak memory where it can be told."""

    def __init__(self, device):
        self.device = device
        self.cuda = device.type == "cuda"

    def now(self):
        if self.cuda:
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def timed(self, work):
        begin = self.now()
        work()
        return self.now() - begin

    def begin_peak(self):
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        elif STATUS.exists():
            STATUS.with_name("clear_refs").write_text("5")  # the process's peak becomes what it holds now

    def peak(self):
        """GiB since begin_peak: what PyTorch had on a GPU, the process on the CPU; None where that cannot be told."""
        if self.cuda:
            return torch.cuda.max_memory_allocated(self.device) / 2**30
        found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.exists() else None
        return int(found[1]) / 2**20 if found else None


def alternate(works, clock, rounds):
    """{name: [seconds of each round]} of {name: function}, which take turns in every round.

    Every other round goes backwards, so that nobody always comes after the same one.
    """
    for work in works.values():
        work()
    times = {name: [] for name in works}
    for number in range(rounds):
        for name in list(works)[:: -1 if number % 2 else 1]:
            times[name].append(clock.timed(works[name]))
    return times


def compared(times, base):
    """{name: {"seconds", "ratio", "ratios"}} of what `alternate` found; base: the name that others are compared with.

    ratios: to the base, round by round: whatever slows the machine for a while slows both. ratio: their median, as
    seconds is that of the times.
    """
    found = {}
    for name, mine in times.items():
        ratios = [a / b for a, b in zip(mine, times[base], strict=True)]
        found[name] = {
            "seconds": statistics.median(mine),
            "ratio": statistics.median(ratios),
            "ratios": [round(ratio, 4) for ratio in ratios],
        }
    return found


def _speeds(times, base, steps):
    """The same for rounds of so many decoding steps: {name: {"step_ms", "tok_s", "ratio", "ratios"}}."""
    found = compared(times, base)
    for one in found.values():
        seconds = one.pop("seconds") / steps
        one |= {"step_ms": 1e3 * seconds, "tok_s": 1 / seconds}
    return found


def copy_rate(device):
    """Bytes per second that a plain copy reads and writes: the limit for anything bound by memory."""
    clock = Clock(device)
    source = torch.empty(2**30 if clock.cuda else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rounds = 20 if clock.cuda else 3
    times = [clock.timed(lambda: [target.copy_(source) for _ in range(rounds)]) for _ in range(4)]
    return 2 * source.numel() * rounds / min(times)


def step_bytes(model):
    """(bytes, bytes a token of KV) that a decoding step must read: every weight once, of the embedding one row."""
    backbone = model.backbone
    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    embedding, head = backbone.get_input_embeddings().weight, backbone.get_output_embeddings().weight
    if embedding.data_ptr() != head.data_ptr():
        weights -= embedding.numel() * embedding.element_size()
    config = backbone.config.get_text_config()
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return weights, 2 * config.num_hidden_layers * config.num_key_value_heads * dim * torch.finfo(model.dtype).bits // 8


def prefill(model, arms, tokens, rounds):
    """Seconds of a prompt, as `compared`. arms: {name: adapter or None}, the base first."""
    ids = token_ids(model, tokens)

    def work(adapter):
        run = Run(model, adapter)
        for part in passes([block(ids, True)], run.by_message, model.chunk):
            run.feed(part)

    works = {name: lambda a=a: work(a) for name, a in arms.items()}
    return compared(alternate(works, Clock(model.device), rounds), next(iter(arms)))


def decode(model, batches, tokens, steps, rounds, states=None, turned=False):
    """Steps behind a prompt, {name: {"step_ms", "tok_s", "ratio", "ratios"}}; None without engine. Ratios are of times.

    batches: {name: adapters (None: base) of the answers in one batch}, base alone first. steps: of one round.
    states: what memories begin with. turned: half of the rounds are with the batches made in the opposite order, so
    that what depends on where a batch's buffers lie, or on who is captured first, is seen to (the ratios' second half).
    """
    base, orders = next(iter(batches)), [list(batches)]
    if turned:
        orders, rounds = [*orders, orders[0][::-1]], rounds // 2 + 1
    times = {name: [] for name in batches}
    for order in orders:
        found = _decode_times(model, {name: batches[name] for name in order}, tokens, steps, rounds, states)
        if found is None:
            return None
        for name, seconds in found.items():
            times[name] += seconds
    return _speeds(times, base, steps)


def _decode_times(model, batches, tokens, steps, rounds, states):
    """What `alternate` finds of rounds of steps, with every batch made and captured before, in their order."""
    ids = token_ids(model, tokens)
    need = WARM_UP + (rounds + 1) * steps + 8
    model.decoder.release()
    with ExitStack() as held:
        works = {}
        for name, adapters in batches.items():
            batch, _ = held.enter_context(seated(model, adapters, ids, need, states=states))
            if batch is None:
                return None
            works[name] = lambda batch=batch: [seat.next() for _ in range(steps) for seat in batch.seats]
            for seat in batch.seats * WARM_UP:
                seat.next()
        found = alternate(works, Clock(model.device), rounds)
    model.decoder.release()
    return found


def peak(model, adapter, tokens):
    """{"gib": peak memory of a prompt and a few steps behind it}, with nothing of ours beside the model."""
    clock = Clock(model.device)
    model.decoder.release()
    clock.begin_peak()
    with seated(model, [adapter], token_ids(model, tokens), WARM_UP + 8) as (batch, _):
        for _ in range(WARM_UP if batch else 0):
            batch.seats[0].next()
        found = clock.peak()
    model.decoder.release()
    return {"gib": found}


def plain_decode(model, arms, tokens, steps, rounds):
    """Steps of the plain loop, one pass of the model and one wait each: as `decode`. arms: as in `prefill`."""
    ids = token_ids(model, tokens)

    def loop(adapter):
        run = Run(model, adapter)
        for part in passes([block(ids, True)], run.by_message, model.chunk):
            logits = run.feed(part)
        token = logits.argmax().item()

        def work():
            nonlocal token
            for _ in range(steps):
                token = run.feed(block([token], not run.by_message)).argmax().item()

        return work

    works = {name: loop(adapter) for name, adapter in arms.items()}
    return _speeds(alternate(works, Clock(model.device), rounds), next(iter(arms)), steps)


def scan(device, tokens, rank=8, repeats=20):
    """{"ms": time of the scan alone over `tokens` tokens, one state}."""
    clock = Clock(device)
    q, k, v, gate = (torch.randn(1, 1, tokens, rank, device=device) for _ in range(4))
    k = torch.nn.functional.normalize(k, dim=-1)
    beta = torch.sigmoid(gate - 3)
    keep = 1 - beta
    state = torch.zeros(1, 1, rank, rank, device=device)

    def work():
        for _ in range(repeats):
            affine_scan(q, k, v, keep, beta, beta, state)

    work()
    return {"ms": 1e3 * statistics.median(clock.timed(work) / repeats for _ in range(3))}


def preload(model, adapter, tokens, stop=lambda: False):
    """Write a history of one long text as Session.preload does: (figures, states).

    figures: {"seconds", "tok_s", "peak_gib", "times": [[tokens, seconds] at every doubling]}; None when `stop`, which
    is asked between passes, ended it before all was written.
    """
    clock = Clock(model.device)
    run = Run(model, adapter)
    ids = token_ids(model, min(tokens, 65536))
    ids = (ids * -(-tokens // len(ids)))[:tokens]
    groups = history_groups([], [], [[block(ids, True)]], run.by_message, GROUP, model.chunk or CHUNK)
    for part in groups[0]:  # compiles what this size needs
        run.feed(part)
    run = Run(model, adapter)
    model.decoder.release()
    clock.begin_peak()
    begin, done, times, mark = clock.now(), 0, [], 1024
    for group in groups:
        run.restart()
        for part in group:
            run.feed(part)
            done += len(part)
            if done >= mark or done == tokens:
                times.append([done, clock.now() - begin])
                mark = 2 * done
        if stop() and done < tokens:
            return None, run.states
    seconds = clock.now() - begin
    return {"seconds": seconds, "tok_s": tokens / seconds, "peak_gib": clock.peak(), "times": times}, run.states
