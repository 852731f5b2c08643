"""Trying out whether an engine's step is the model's own: its forwards replace a model's code, so it must be seen."""

import torch

from deltamem.runtime.blocks import block, join
from deltamem.runtime.decoder.batch import Batch
from deltamem.runtime.decoder.engine import Engine
from deltamem.runtime.decoder.launch import Eager
from deltamem.runtime.run import Run
from deltamem.runtime.sampling import Sampler, Sampling

PROMPTS = (7, 4)  # tokens: rows of different lengths
STEPS = 3
CAPACITY = 16  # tokens of a row; the kernels are those of any capacity
LONG = 128  # tokens: more than a memory takes one by one, as many as a captured pass has
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 6e-2}


def first_passes(model, shapes):
    """The passes of first answers, alone and beside another, for what they launch: what they compute is dropped."""
    adapters = [] if model.adapter is None else [model.adapter]
    for rows in (1, 2):
        engine = Engine(model, shapes, adapters, rows, CAPACITY)
        with model.lock:
            engine.step(False, None)
    run = Run(model, model.adapter)
    run.feed(block([0] * PROMPTS[1], True))
    run.feed(block([0], not run.by_message))
    Run(model, model.adapter).feed(join([block([0], False), block([0] * (LONG - 1), True)]))


def trial(model, shapes):
    """Decode a few tokens by passes of the model and by an engine; "" when they agree, else a few words.

    The first row runs without memory, the second with the model's default adapter when there is one.
    """
    adapters = [None, model.adapter]
    vocabulary = model.backbone.config.get_text_config().vocab_size
    engine = Engine(model, shapes, [a for a in adapters if a is not None], len(PROMPTS), CAPACITY)
    batch = Batch(engine, Eager(engine), False)
    expected = []
    plain = [_told(model, adapter, row, vocabulary) for row, adapter in enumerate(adapters)]
    seated = [_told(model, adapter, row, vocabulary, batch.seats[row].cache) for row, adapter in enumerate(adapters)]
    tokens = [[(5 + 11 * step + row) % vocabulary for step in range(STEPS)] for row in range(len(PROMPTS))]
    for run, ids in zip(plain, tokens, strict=True):
        expected.append(torch.stack([run.feed(block([token], not run.by_message)) for token in ids]))
    for seat, run, ids in zip(batch.seats, seated, tokens, strict=True):
        seat.join(run, ids[0], Sampler(Sampling(), model.device), STEPS + 1)
    given = [batch.force(dict(zip(batch.seats, ids, strict=True))) for ids in zip(*tokens, strict=True)]
    for row, want in enumerate(expected):
        if wrong := differs(torch.stack([logits[row] for logits in given]), want, TOLERANCE[model.dtype]):
            return f"its fast step differs from the model by {wrong:.2g} of the largest logit"
    return ""


def differs(got, want, tolerance):
    """How far two tensors are apart, as a share of the largest number wanted; 0 within the tolerance."""
    worst = ((got.float() - want.float()).abs().max() / want.float().abs().max()).item()
    return 0.0 if worst <= tolerance else worst  # NaN, too, differs


def _told(model, adapter, row, vocabulary, cache=None):
    run = Run(model, adapter, cache=cache)
    run.feed(block([(3 + 7 * i + row) % vocabulary for i in range(PROMPTS[row])], True))
    return run
