"""Whether what is measured computes the right thing: no figure without these, in the same run."""

from contextlib import contextmanager

import torch

from deltamem.kernels.affine_scan import affine_scan, affine_scan_naive
from deltamem.runtime.blocks import CHUNK, block, cut
from deltamem.runtime.decoder import Need
from deltamem.runtime.engine import Reply, decode
from deltamem.runtime.run import Run
from deltamem.runtime.sampling import Sampler, Sampling

LIMITS = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 8e-2}


def run_checks(model, ids, tokens):
    """A list of {"check", "value", "limit", "ok"}; ids: a prompt. tokens: how many to decode."""
    limit = LIMITS[model.dtype]
    found = [
        _entry("decoding engine in use", "yes" if model.decoder.works() else model.decoder.refusal, "yes"),
        _entry("scan against the naive loop, relative error", _scan_error(model.device), 2e-5),
        _entry("prompt in chunks against one pass, largest logit difference", _chunk_error(model, ids), limit),
    ]
    # Random weights have near ties everywhere: in low precision agreement of tokens is stated, not judged.
    least = 1.0 if model.dtype == torch.float32 else 0.0
    for label in (None, *model.adapters):
        name, adapter = label or "base", model.adapters.get(label)
        logits, states = _forced_errors(model, adapter, ids)
        found.append(_entry(f"{name}: engine against plain loop, largest logit difference", logits, limit))
        if adapter is not None:
            found.append(_entry(f"{name}: states after the same tokens, largest difference", states, 2 * limit))
        same = _agreement(model, adapter, ids, tokens)
        found.append(_entry(f"{name}: greedy tokens before the first that differs", same, least, above=True))
    found.append(
        _entry(
            "arms in one batch: greedy tokens that agree with each alone",
            _together(model, ids, tokens),
            least,
            above=True,
        )
    )
    found.append(_entry("base beside memory: the same bits as beside base", _base_rows(model, ids), "yes"))
    return found


def _entry(check, value, limit, above=False):
    ok = value == limit if isinstance(limit, str) else value >= limit if above else value <= limit
    return {"check": check, "value": value, "limit": limit, "ok": bool(ok)}


def _relative(a, b):
    a, b = a.float(), b.float()
    return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item()


def _scan_error(device):
    generator = torch.Generator().manual_seed(0)
    q, k, v, gate = (torch.randn(2, 3, 257, 8, generator=generator).to(device) for _ in range(4))
    q, k = (torch.nn.functional.normalize(x.tanh(), dim=-1) for x in (q, k))
    beta = torch.sigmoid(gate - 3)
    state = torch.randn(2, 3, 8, 8, generator=generator).to(device)
    given = affine_scan(q, k, v, 1 - beta, beta, beta, state)
    wanted = affine_scan_naive(*(x.double() for x in (q, k, v, 1 - beta, beta, beta, state)))
    return max(_relative(a, b) for a, b in zip(given, wanted, strict=True))


def _chunk_error(model, ids):
    whole, parts = Run(model), Run(model)
    wanted = whole.feed(block(ids, True))
    for part in cut(block(ids, True), -(-len(ids) // 3)):
        given = parts.feed(part)
    return _relative(given, wanted)


def _agreement(model, adapter, ids, tokens):
    """Share of greedy tokens that engine and plain loop have in common before the first difference."""
    answers = []
    for need in ([], [Need(adapter, len(ids) + tokens + 8)]):
        with model.decoder.seats(need) as seats:
            seat = seats[0] if seats else None
            run, reply = Run(model, adapter, cache=seat and seat.cache), Reply()
            logits = run.feed(block(ids, True))
            for _ in decode(run, logits, reply, Sampling(tokens), 10**9, seat):
                pass
        answers.append(reply.ids)
    return _common(*answers)


def _common(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a)) / len(a)


def _together(model, ids, tokens):
    """Share of tokens of two arms in one batch that are those of each arm alone, up to the first difference."""
    arms = [None, model.adapters["TSW"]]
    answers = []
    for batches in ([[arm] for arm in arms], [arms]):
        drawn = []
        for adapters in batches:
            with seated(model, adapters, ids, tokens + 8) as (batch, _):
                if batch is None:
                    return 0.0
                rounds = [[seat.next() for seat in batch.seats] for _ in range(tokens)]
            drawn += [list(answer) for answer in zip(*rounds, strict=True)]
        answers.append(drawn)
    return min(_common(*pair) for pair in zip(*answers, strict=True))


def _forced_errors(model, adapter, ids, steps=6):
    """Largest difference of logits, and of states at the end, over a few steps of the same tokens."""
    run = Run(model, adapter)
    run.feed(block(ids, True))
    plain = [run.feed(block([token], not run.by_message)).float() for token in ids[:steps]]
    with seated(model, [adapter], ids, steps + 8) as (batch, runs):
        if batch is None:
            return float("nan"), float("nan")
        given = [batch.force({batch.seats[0]: token})[0] for token in ids[:steps]]
        batch.seats[0].leave()
    states = [_relative(runs[0].states[name], state) for name, state in run.states.items()]
    return max(_relative(a, b) for a, b in zip(given, plain, strict=True)), max(states, default=0.0)


def _base_rows(model, ids, steps=4):
    """Whether a row without memory gives the same bits whatever the other row is."""
    logits = []
    adapter = model.adapters["TSW"]
    for strength in (0.0, 1.0):
        with seated(model, [None, adapter], ids, steps + 8, strength) as (batch, _):
            if batch is None:
                return "no engine"
            seats = batch.seats
            logits.append([batch.force(dict.fromkeys(seats, token))[0] for token in ids[:steps]])
    return "yes" if all(torch.equal(a, b) for a, b in zip(*logits, strict=True)) else "no"


@contextmanager
def seated(model, adapters, ids, tokens, strength=1.0):
    """(Batch, runs) of answers to the prompt `ids`, joined and ready for `tokens` steps; (None, []) without engine."""
    with model.decoder.seats([Need(adapter, len(ids) + tokens) for adapter in adapters]) as seats:
        if seats[0] is None:
            yield None, []
            return
        runs = [Run(model, a, cache=seat.cache, strength=strength) for a, seat in zip(adapters, seats, strict=True)]
        for seat, run in zip(seats, runs, strict=True):
            for part in cut(block(ids, True), model.chunk or CHUNK):
                run.feed(part)
            seat.join(run, ids[-1], Sampler(Sampling(), model.device), tokens)
        yield seats[0].batch, runs
        for seat in seats:
            seat.leave()
