"""Planted facts: a made-up conversation that tells a few facts among similar ones, and the questions about them."""

import random
from dataclasses import dataclass

from deltamem.compare.errors import ProbeError
from deltamem.compare.probes.model import Probe
from deltamem.train.smalltalk import LINES, REPLIES, SmallTalk

LIMITS = {"facts": (1, 16), "distractors": (0, 16), "distance": (0, 200)}

# Values that the training of the bundled adapters never used as values: train.words.is_test_value holds for each.
NAMES = (
    "Betty Charlotte Christopher Dalia Darcy Jasper Julian June Lewis Lionel Lisa Louis Madeleine Marion Nancy Natalie "
    "Oliver Omar Opal Penelope Ryan Sebastian Theo Vanessa Victor Victoria Walter Yvonne"
).split()
WORDS = (
    "badge bamboo bandage blood bulb canal comb ellipse halo hunter jewel marathon moon mural network opera patch pine "
    "pond raft robe sand satellite shell signal spaceship sunset torpedo triangle tundra wall zodiac"
).split()
PLACES = "barrel binder classroom depot desk folder office oven pottery tavern".split()


@dataclass(frozen=True)
class Kind:
    """Facts of one form: told, asked with {k} the key and {v} the value; keys with the values each may have."""

    told: str
    asked: str
    values: dict[str, list[str]]


def _alike(keys, values):
    return dict.fromkeys(keys.split(", "), values)


KINDS = (
    Kind(
        "My {k} is called {v}.",
        "What is my {k} called?",
        _alike("dog, cat, parrot, horse, boat, rabbit, pony, band, robot", NAMES),
    ),
    Kind(
        "My {k}'s name is {v}.",
        "What is my {k}'s name?",
        _alike("sister, brother, neighbor, boss, dentist, cousin, lawyer", NAMES),
    ),
    Kind(
        "The {k} is {v}.",
        "What is the {k}?",
        _alike("wifi password, door code, secret word, alarm code, call sign, team name, locker code", WORDS),
    ),
    Kind(
        "I put the {k} in the {v}.",
        "Where did I put the {k}?",
        _alike("passport, umbrella, camera, spare key, tickets, medicine", PLACES),
    ),
    Kind(
        "My favorite {k} is {v}.",
        "What is my favorite {k}?",
        {
            "drink": ["coffee", "smoothie"],
            "food": ["sushi", "tofu"],
            "fruit": ["plum", "coconut"],
            "animal": ["bison", "elephant", "panda", "penguin", "shark"],
            "flower": ["lavender", "orchid", "sunflower"],
            "instrument": ["guitar", "trumpet"],
            "spice": ["cumin", "vanilla"],
        },
    ),
)


def plant(facts=3, distractors=3, distance=2, seed=0):
    """(messages, probes): `facts` facts that are asked for, `distractors` that are not, then `distance` turns of talk.

    Distractors are of the same kinds as the facts, so that mixing them up shows. Every fact has a turn of its own, in
    random order. No value was ever a value in the training of the bundled adapters. The same for the same arguments.
    Raises ProbeError for a number out of range.
    """
    for name, given in (("facts", facts), ("distractors", distractors), ("distance", distance)):
        least, most = LIMITS[name]
        if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
            raise ProbeError(f"The number of {name} is {given!r}; give a whole number from {least} to {most}.")
    rng = random.Random(f"planted {facts} {distractors} {distance} {seed}")
    told = _draw(rng, facts, distractors)
    probes = [Probe(kind.asked.format(k=key), (value,)) for kind, key, value in told[:facts]]
    rng.shuffle(told)
    talk = SmallTalk()
    said = [talk.wrap(rng, kind.told.format(k=key, v=value)) for kind, key, value in told]
    said += [" ".join(rng.sample(LINES, 2)) for _ in range(distance)]
    messages = []
    for text in said:
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": rng.choice(REPLIES)})
    return messages, probes


def _draw(rng, facts, distractors):
    """(kind, key, value) of each fact, those that are asked for first; no key and no value comes twice."""
    drawn, keys, values = [], set(), set()
    while len(drawn) < facts + distractors:
        asked = [kind for kind, _, _ in drawn[:facts]]
        kind = rng.choice(KINDS if len(drawn) < facts or rng.random() < 0.2 else asked)
        key = rng.choice(list(kind.values))
        value = rng.choice(kind.values[key])
        if key not in keys and value not in values:
            drawn.append((kind, key, value))
            keys.add(key)
            values.add(value)
    return drawn
