"""How an answer is drawn from the model's output."""

import random
from dataclasses import dataclass

import torch

from deltamem.quoting import quoted
from deltamem.runtime.errors import NotANumber, SessionError
from deltamem.runtime.upload import upload

MAX_TEMPERATURE = 1_000_000  # far above use, and a float32 still
NO_NUMBER = -1  # what is drawn from an output that is not a number


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. Temperature 0 takes the likeliest token; else `seed` alone decides the draw.

    Raises SessionError for a value out of range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self):
        tokens, temperature, top_p, seed = self.max_new_tokens, self.temperature, self.top_p, self.seed
        warm = _is(temperature, int, float) and 0 <= temperature <= MAX_TEMPERATURE
        for name, good, rule in (
            ("max_new_tokens", _is(tokens, int) and tokens >= 1, "a whole number from 1"),
            ("temperature", warm, f"a number from 0 (0: likeliest token) to {MAX_TEMPERATURE:,}"),
            ("top_p", _is(top_p, int, float) and 0 < top_p <= 1, "above 0 and at most 1 (1: all tokens)"),
            ("seed", _is(seed, int) and 0 <= seed < 2**63, "a whole number from 0 to 2**63 - 1"),
        ):
            if not good:
                raise SessionError(f"{name} is {quoted(repr(getattr(self, name)))}; it must be {rule}.")


class Sampler:
    """Draws tokens with random numbers of its own, so that no other draw in the process can change an answer.

    One number from [0, 1) decides each token. The numbers depend on the seed alone, so the same answer is drawn on any
    device, alone or in a batch, as far as the rounding of the model's output allows.
    """

    def __init__(self, sampling, device):
        self.sampling = sampling
        self._random = random.Random(sampling.seed)
        self._row = upload([[float(sampling.temperature), float(sampling.top_p)]], device)

    def numbers(self, count):
        """The next `count` random numbers; none are used up when the likeliest token is taken."""
        return [self._random.random() for _ in range(count)] if self.sampling.temperature > 0 else [0.0] * count

    def pick(self, logits):
        """The next token id from logits [vocabulary]. Raises SessionError when the model's output is not a number."""
        if self.sampling.temperature > 0:
            numbers = upload(self.numbers(1), logits.device)
            token = draw(logits[None], self._row[:, 0], self._row[:, 1], numbers)
        else:
            token = likeliest(logits[None])
        return check_token(token.item())


def likeliest(logits):
    """The likeliest token of each row: ids [B] of logits [B, V], NO_NUMBER where the output is not a number."""
    top, index = logits.max(dim=-1)
    return torch.where(torch.isfinite(top), index, NO_NUMBER)


def draw(logits, temperature, top_p, numbers, top_k=0):
    """One token per row, without waiting for the device.

    Args:
        logits: [B, V], any floating dtype.
        temperature, top_p: [B] float32; a row of temperature 0 takes its likeliest token.
        numbers: [B] float32 from [0, 1): where in the row's distribution, most likely tokens first, the token lies.
        top_k: draws from so many tokens, 0 from all; top_p counts within them.

    Returns:
        ids [B], NO_NUMBER where the output is not a number.
    """
    greedy = likeliest(logits)
    logits = logits.float()
    # The maximum is taken off first: a tiny temperature would overflow otherwise.
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    warm = torch.where(temperature > 0, temperature, 1.0)[:, None]
    ordered, order = torch.softmax(shifted / warm, dim=-1).sort(dim=-1, descending=True, stable=True)
    if top_k:
        ordered = ordered[:, :top_k] / ordered[:, :top_k].sum(dim=-1, keepdim=True)
    reached = ordered.cumsum(dim=-1)
    # A token stays when the ones before it do not reach top_p yet: the first always does (the limit is for rows of
    # NaN). 1 keeps all in spite of rounding.
    kept = ((reached - ordered < top_p[:, None]) | (top_p[:, None] >= 1)).sum(dim=-1, keepdim=True).clamp_min(1)
    mass = reached.gather(1, kept - 1)
    place = (reached <= numbers[:, None] * mass).sum(dim=-1, keepdim=True)
    drawn = order.gather(1, torch.minimum(place, kept - 1)).squeeze(1)
    return torch.where((temperature > 0) & (greedy != NO_NUMBER), drawn, greedy)


def check_token(token):
    """The token, unless it says that the model's output was not a number: that raises NotANumber."""
    if token == NO_NUMBER:
        raise NotANumber(
            "The model's output is NaN or infinite instead of a number; reset the session, or lower the memory's "
            "strength."
        )
    return token


def _is(value, *kinds):
    return isinstance(value, kinds) and not isinstance(value, bool)
