"""Shapes of training conversations, and how often each comes at which time of a training."""

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Shape of a batch: the order of turns by kind (a key of TOKENS), and how many conversations."""

    slots: str
    batch: int


# T tells something in a short message, N in as few words as it takes, L in a long one (or in several exchanges), P is a
# page of text, C is other talk, O much of it, A asks, Q asks about a page.
TOKENS = {"N": 24, "T": 56, "A": 44, "Q": 56, "L": 112, "C": 112, "P": 256, "O": 288}
ASKING = "AQ"
LAYOUTS = {
    "note": Layout("NA", 192),
    "one": Layout("TA", 128),
    "two": Layout("TTAA", 64),
    "four": Layout("TTATTAA", 36),
    "long": Layout("TTTTATTTAA", 24),
    "dense": Layout("LAAA", 48),
    "talk": Layout("TTCCCCAA", 18),
    "far": Layout("TTOOOOOAA", 8),
    "page": Layout("PQQQ", 26),
}
# (share of the training done, weights of the layouts): single facts first, then more and longer conversations.
CURRICULUM = (
    (0.0, {"one": 1.0}),
    (0.12, {"one": 0.5, "two": 0.5}),
    (0.3, {"one": 0.15, "two": 0.22, "four": 0.21, "long": 0.1, "dense": 0.12, "talk": 0.08, "page": 0.12}),
    (0.7, {"one": 0.18, "two": 0.28, "four": 0.2, "long": 0.09, "dense": 0.09, "talk": 0.03, "far": 0.03, "page": 0.1}),
)
# A memory of whole messages sees their means: the value must stand out at first. A page holds many messages.
BY_MESSAGE = (
    (0.0, {"note": 1.0}),
    (0.4, {"note": 0.5, "one": 0.5}),
    (0.65, {"note": 0.3, "one": 0.3, "two": 0.2, "four": 0.05, "long": 0.05, "dense": 0.05, "talk": 0.05}),
)


def choose_layout(rng: random.Random, progress: float, by_message: bool = False) -> str:
    """A layout by the curriculum's weights. `progress`: share of the training done, 0 to 1."""
    stages = BY_MESSAGE if by_message else CURRICULUM
    weights = [stage for start, stage in stages if progress >= start][-1]
    return rng.choices(list(weights), list(weights.values()))[0]
