"""Whether what is measured computes the right thing: no figure without these, in the same run."""

from contextlib import contextmanager

import torch

from deltamem.kernels.affine_scan import affine_scan, affine_scan_naive
from deltamem.runtime.blocks import block, cut, passes
from deltamem.runtime.decoder import Need
from deltamem.runtime.run import Run
from deltamem.runtime.sampling import Sampler, Sampling
from deltamem.tools.bench.subjects import in_float32

ROUNDING = 5e-4  # relative error that float32 may have in another order of summing
SLACK = 1.5  # times the plain loop's own error, which the engine's may be in lower precision


def run_checks(model, ids, count):
    """(checks, agreement). ids: a prompt. count: how many tokens are decoded behind it.

    checks: a list of {"check", "value", "limit", "ok"}. In float32 errors are those against the plain loop; in lower
    precision against the plain loop of the same model in float32, and the limit is SLACK times the plain loop's own.
    agreement: {answer: share of greedy tokens that are those of the plain loop (or of the arm alone)}. In float32 they
    are checks; random weights have near ties everywhere, so in lower precision they are told and not judged.
    """
    exact = in_float32(model)
    arms = [None, *(model.adapters[label] for label in ("TSW", "MSW", "SSW"))]
    names = ["base", "TSW", "MSW", "SSW"]
    checks = [
        _equal("decoding engine in use", "yes" if model.decoder.works() else model.decoder.refusal, "yes"),
        _within("scan against the naive loop in float64, relative error", _scan_error(model.device), 2e-5),
        _near("prompt in three passes", _in_parts(model, ids), _prompt(Run(model), ids), _prompt(Run(exact), ids)),
    ]
    if not model.decoder.works():
        return checks, {}
    agreement, drawn, plain, true = {}, [], [], []
    for name, arm in zip(names, arms, strict=True):
        drawn.append(_drawn(model, [arm], ids, count)[0])
        plain.append(_plain(model, arm, ids, drawn[-1]))
        true.append(plain[-1] if exact is model else _plain(exact, arm, ids, drawn[-1]))
        given = _forced(model, [arm], ids, drawn[-1:])[0]
        checks += _near_both(f"{name} by the engine", given, plain[-1], true[-1])
        # In any precision: a step that was started ahead does what it does when it is waited for.
        checks.append(_equal(f"{name}: the same tokens ahead and step by step", _same(given, drawn[-1]), 1.0))
        agreement[f"{name} by the engine"] = _same(plain[-1], drawn[-1])
    together = _forced(model, arms, ids, drawn)
    for name, given, mine, wanted in zip(names, together, plain, true, strict=True):
        checks += _near_both(f"{name} beside the others", given, mine, wanted)
    agreement["arms in one batch"] = min(map(_common, drawn, _drawn(model, arms, ids, count)))
    checks.append(_equal("base beside memory: the same bits as beside base", _base_rows(model, ids), "yes"))
    if exact is model:
        checks += [
            _equal(f"{answer}: greedy tokens as alone, plainly", share, 1.0) for answer, share in agreement.items()
        ]
    return checks, agreement


def _equal(check, value, wanted):
    return {"check": check, "value": value, "limit": wanted, "ok": value == wanted}


def _within(check, value, limit):
    return {"check": check, "value": value, "limit": limit, "ok": value <= limit}


def _near(check, given, plain, true):
    """An entry for the error of `given`, which the plain loop's own error puts a limit to."""
    return _within(f"{check}: relative error", _error(given, true), max(ROUNDING, SLACK * _error(plain, true)))


def _near_both(name, given, plain, true):
    """Entries for (logits, states)."""
    entries = [_near(f"{name}, logits", given[0], plain[0], true[0])]
    if true[1]:
        entries.append(_near(f"{name}, states", *(torch.stack(list(one[1].values())) for one in (given, plain, true))))
    return entries


def _error(given, wanted):
    given, wanted = given.double(), wanted.double()
    return ((given - wanted).norm() / wanted.norm().clamp_min(1e-30)).item()


def _same(found, tokens):
    """Share of steps whose likeliest token is the one that was drawn. found: (logits, states)."""
    return (found[0].argmax(dim=-1).cpu() == torch.tensor(tokens)).double().mean().item()


def _common(a, b):
    """Share of tokens before the first that differs."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a)) / len(a)


def _scan_error(device):
    generator = torch.Generator().manual_seed(0)
    q, k, v, gate = (torch.randn(2, 3, 257, 8, generator=generator).to(device) for _ in range(4))
    q, k = (torch.nn.functional.normalize(x.tanh(), dim=-1) for x in (q, k))
    beta = torch.sigmoid(gate - 3)
    state = torch.randn(2, 3, 8, 8, generator=generator).to(device)
    given = affine_scan(q, k, v, 1 - beta, beta, beta, state)
    wanted = affine_scan_naive(*(x.double() for x in (q, k, v, 1 - beta, beta, beta, state)))
    return max(_error(a, b) for a, b in zip(given, wanted, strict=True))


def _prompt(run, ids):
    """Feed the prompt as a session does; its logits [V]."""
    for part in passes([block(ids, True)], run.by_message, run.model.chunk):
        logits = run.feed(part)
    return logits


def _in_parts(model, ids):
    run = Run(model)
    for part in cut(block(ids, True), -(-len(ids) // 3)):
        logits = run.feed(part)
    return logits


def _plain(model, adapter, ids, drawn):
    """(logits [steps, V], states) of the plain loop that is given an answer's tokens."""
    run = Run(model, adapter)
    _prompt(run, ids)
    logits = [run.feed(block([token], not run.by_message)) for token in [ids[-1], *drawn[:-1]]]
    return torch.stack(logits), run.states


def _drawn(model, adapters, ids, count):
    """`count` greedy tokens of answers in one batch, a list for each."""
    with seated(model, adapters, ids, count + 8) as (batch, _):
        rounds = [[seat.next() for seat in batch.seats] for _ in range(count)]
    return [list(answer) for answer in zip(*rounds, strict=True)]


def _forced(model, adapters, ids, answers):
    """[(logits [steps, V], states)] of answers in one batch that are given their tokens."""
    with seated(model, adapters, ids, len(answers[0]) + 8) as (batch, runs):
        logits = []
        for tokens in zip(*([ids[-1], *drawn[:-1]] for drawn in answers), strict=True):
            logits.append(batch.force(dict(zip(batch.seats, tokens, strict=True))))
        for seat in batch.seats:
            seat.leave()
    return [(torch.stack([step[row] for step in logits]), run.states) for row, run in enumerate(runs)]


def _base_rows(model, ids, steps=4):
    """Whether a row without memory gives the same bits whatever the other row is."""
    logits = []
    for strength in (0.0, 1.0):
        with seated(model, [None, model.adapters["TSW"]], ids, steps + 8, strength) as (batch, _):
            logits.append([batch.force(dict.fromkeys(batch.seats, token))[0] for token in ids[:steps]])
    return "yes" if all(torch.equal(a, b) for a, b in zip(*logits, strict=True)) else "no"


@contextmanager
def seated(model, adapters, ids, tokens, strength=1.0, states=None):
    """(Batch, runs) of answers to the prompt `ids`, joined and ready for `tokens` steps; (None, []) without engine.

    states: what every memory begins with.
    """
    with model.decoder.seats([Need(adapter, len(ids) + tokens) for adapter in adapters]) as seats:
        if seats[0] is None:
            yield None, []
            return
        runs = []
        for adapter, seat in zip(adapters, seats, strict=True):
            runs.append(Run(model, adapter, states if adapter else None, seat.cache, strength))
            _prompt(runs[-1], ids)
            seat.join(runs[-1], ids[-1], Sampler(Sampling(), model.device), tokens)
        yield seats[0].batch, runs
        for seat in seats:
            seat.leave()
