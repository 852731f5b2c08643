"""The measurements. Times are host times around synchronised work, medians of a few repeats."""

import statistics
import time

import torch

from deltamem.kernels.affine_scan import affine_scan
from deltamem.runtime.blocks import CHUNK, GROUP, block, history_groups, passes
from deltamem.runtime.run import Run
from deltamem.tools.bench.checks import seated
from deltamem.tools.bench.subjects import token_ids

WARM_UP = 8  # steps before a decoding time begins


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
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self):
        """GiB since begin_peak; None on the CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.cuda else None


def copy_rate(device):
    """Bytes per second that a plain copy reads and writes: the limit for anything bound by memory."""
    clock = Clock(device)
    source = torch.empty(2**30 if clock.cuda else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rounds = 20 if clock.cuda else 3
    times = [clock.timed(lambda: [target.copy_(source) for _ in range(rounds)]) for _ in range(4)]
    return 2 * source.numel() * rounds / min(times)


def step_bytes(model, tokens):
    """Bytes that a decoding step must read: every weight once (of the embedding one row), and the KV of `tokens`."""
    backbone = model.backbone
    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    embedding, head = backbone.get_input_embeddings().weight, backbone.get_output_embeddings().weight
    if embedding.data_ptr() != head.data_ptr():
        weights -= embedding.numel() * embedding.element_size()
    config = backbone.config.get_text_config()
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    kv = 2 * config.num_hidden_layers * config.num_key_value_heads * dim * torch.finfo(model.dtype).bits // 8
    return weights + kv * tokens


def prefill(model, adapter, tokens, repeats=3):
    """Seconds of a prompt of `tokens` tokens."""
    clock, ids = Clock(model.device), token_ids(model, tokens)

    def once():
        run = Run(model, adapter)
        for part in passes([block(ids, True)], run.by_message, model.chunk):
            run.feed(part)

    once()
    return statistics.median(clock.timed(once) for _ in range(repeats))


def decode(model, adapters, tokens, steps):
    """Decoding behind a prompt of `tokens` tokens, answers of these adapters (None: base) in one batch.

    Returns {"step_ms": median time of a step, "tok_s": steps a second, "peak_gib": peak memory, prompt included}.
    """
    clock = Clock(model.device)
    model.decoder.release()
    clock.begin_peak()
    with seated(model, adapters, token_ids(model, tokens), steps + WARM_UP + 8) as (batch, _):
        if batch is None:
            return None
        for _ in range(WARM_UP):
            _step(batch)
        times = []
        for _ in range(3):
            begin = clock.now()
            for _ in range(steps // 3):
                _step(batch)
            times.append((clock.now() - begin) / (steps // 3))
    seconds = statistics.median(times)
    return {"step_ms": 1e3 * seconds, "tok_s": 1 / seconds, "peak_gib": clock.peak()}


def _step(batch):
    for seat in batch.seats:
        seat.next()


def plain_decode(model, adapter, tokens, steps):
    """Tokens a second of the plain loop, one pass of the model and one wait a token."""
    clock, ids = Clock(model.device), token_ids(model, tokens)
    run = Run(model, adapter)
    for part in passes([block(ids, True)], run.by_message, model.chunk):
        logits = run.feed(part)

    def loop(count):
        nonlocal logits
        for _ in range(count):
            logits = run.feed(block([logits.argmax().item()], not run.by_message))

    loop(4)
    return steps / clock.timed(lambda: loop(steps))


def scan(device, tokens, rank=8, repeats=20):
    """Milliseconds of the scan alone over `tokens` tokens, one state."""
    clock = Clock(device)
    q, k, v, gate = (torch.randn(1, 1, tokens, rank, device=device) for _ in range(4))
    k = torch.nn.functional.normalize(k, dim=-1)
    beta = torch.sigmoid(gate - 3)
    state = torch.zeros(1, 1, rank, rank, device=device)

    keep = 1 - beta

    def work():
        for _ in range(repeats):
            affine_scan(q, k, v, keep, beta, beta, state)

    work()
    return 1e3 * statistics.median(clock.timed(work) / repeats for _ in range(3))


def preload(model, adapter, tokens):
    """Writing a history of one long text: {"seconds", "tok_s", "peak_gib"}, as Session.preload does it."""
    clock = Clock(model.device)
    run = Run(model, adapter)
    ids = token_ids(model, min(tokens, 65536))
    ids = (ids * -(-tokens // len(ids)))[:tokens]
    groups = history_groups([], [], [[block(ids, True)]], run.by_message, GROUP, model.chunk or CHUNK)
    for part in groups[0]:  # compiles what this size needs
        run.feed(part)
    model.decoder.release()
    clock.begin_peak()
    begin = clock.now()
    for group in groups:
        run.restart()
        for part in group:
            run.feed(part)
    seconds = clock.now() - begin
    return {"seconds": seconds, "tok_s": tokens / seconds, "peak_gib": clock.peak()}
