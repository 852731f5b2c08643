"""How an answer is drawn from the model's output."""

import math
from dataclasses import dataclass

import torch

from deltamem.runtime.errors import SessionError


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
        if not _is(self.max_new_tokens, int) or self.max_new_tokens < 1:
            raise SessionError(f"max_new_tokens is {self.max_new_tokens!r}; it must be a whole number from 1.")
        if not _is(self.temperature, int, float) or not 0 <= self.temperature < math.inf:
            raise SessionError(f"temperature is {self.temperature!r}; it must be a number from 0 (0: likeliest token).")
        if not _is(self.top_p, int, float) or not 0 < self.top_p <= 1:
            raise SessionError(f"top_p is {self.top_p!r}; it must be above 0 and at most 1 (1: all tokens).")
        if not _is(self.seed, int) or not 0 <= self.seed < 2**63:
            raise SessionError(f"seed is {self.seed!r}; it must be a whole number from 0 to 2**63 - 1.")


class Sampler:
    """Draws tokens with a generator of its own, so that no other random draw in the process can change an answer."""

    def __init__(self, sampling, device):
        self.sampling = sampling
        self.generator = torch.Generator(device).manual_seed(sampling.seed) if sampling.temperature > 0 else None

    def pick(self, logits):
        """The next token id from logits [vocabulary]. Raises SessionError when the model's output is not a number."""
        logits = logits.float()
        top, index = logits.max(dim=-1)
        if not math.isfinite(top.item()):
            raise SessionError(
                f"The model's output is {top.item()} instead of a number; reset the session, or lower the memory's "
                "strength."
            )
        if self.generator is None:
            return index.item()
        # The maximum is taken off first: a tiny temperature would overflow otherwise.
        probabilities = torch.softmax((logits - top) / self.sampling.temperature, dim=-1)
        if self.sampling.top_p < 1:
            ordered, order = probabilities.sort(descending=True)
            # A token stays when the ones before it do not reach top_p yet: the first always does.
            ordered[ordered.cumsum(-1) - ordered >= self.sampling.top_p] = 0
            probabilities = torch.zeros_like(probabilities).scatter_(0, order, ordered)
        return torch.multinomial(probabilities, 1, generator=self.generator).item()


def _is(value, *kinds):
    return isinstance(value, kinds) and not isinstance(value, bool)
