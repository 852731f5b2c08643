"""Kinds of facts: each a family of wordings with its keys and kinds of values.

Each wording belongs to training or to the test, never to both. The answer to a question has one wording, so that exact
match means something.
"""

from dataclasses import dataclass, replace

from .keys import CODES, EVENTS, LIKED, NAMED, OBJECTS, OWNED, ROLES
from .more_families import HELD_OUT, TRAINED
from .phrasebook import further_kinds, said
from .wordings import FAMILY_WORDINGS


@dataclass(frozen=True)
class Family:
    """Wordings with the slots {k} key, {v} value, {p} a person's name.

    told, asked: statements and questions; those of the test end in _test. sought: what a question is about, to stand in
    SOUGHT_FRAMES. attribute: tells facts about one key apart.
    """

    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    told: tuple[str, ...]
    told_test: tuple[str, ...]
    asked: tuple[str, ...]
    asked_test: tuple[str, ...]
    sought: tuple[str, ...]
    answer: str
    weight: float = 1.0
    attribute: str = ""


ANY = ("word", "word", "word", "name", "name", "invented", "pair", "number")
NAMELIKE = ("name", "name", "name", "invented", "word")

FAMILIES = (
    Family(
        NAMELIKE,
        NAMED,
        (
            "My {k} is called {v}.",
            "My {k}'s name is {v}.",
            "I have a {k} named {v}.",
            "The name of my {k} is {v}.",
            "I call my {k} {v}.",
            "{v} is the name of my {k}.",
            "We named our {k} {v}.",
            "I have a {k} and the name is {v}.",
            "{v} is what we call our {k}.",
            "We have a {k} called {v}.",
            "You should meet my {k}, {v}.",
            "My {k} {v} says hello.",
        ),
        ("Everyone knows my {k} as {v}.", "My {k} goes by the name {v}.", "There is also my {k}, called {v}."),
        (
            "What is my {k} called?",
            "What is the name of my {k}?",
            "What's my {k}'s name?",
            "Do you remember my {k}'s name?",
            "Tell me the name of my {k}.",
            "What did I call my {k}?",
            "What name did I give for my {k}?",
            "My {k} has a name, what is it?",
        ),
        ("Can you recall what my {k} is called?", "Remind me, what is my {k}'s name?"),
        ("what my {k} is called", "my {k}'s name", "the name of my {k}", "what I call my {k}"),
        "Your {k} is called {v}.",
        3.0,
    ),
    Family(
        ANY,
        LIKED,
        (
            "My favorite {k} is {v}.",
            "I like {v} more than any other {k}.",
            "{v} is my favorite {k}.",
            "The {k} I like best is {v}.",
            "As for my favorite {k}, it is {v}.",
            "My favourite {k} has always been {v}.",
            "I would say {v} is the best {k}.",
        ),
        ("When it comes to a {k}, nothing beats {v}.", "If I had to pick one {k}, it would be {v}."),
        (
            "What is my favorite {k}?",
            "Which {k} do I like most?",
            "What's my favourite {k}?",
            "Do you know my favorite {k}?",
            "Tell me my favorite {k}.",
            "Which {k} is my favorite?",
        ),
        ("Can you recall my favorite {k}?", "Remind me which {k} I like best."),
        ("my favorite {k}", "what my favorite {k} is", "which {k} I like most", "the {k} I like best"),
        "Your favorite {k} is {v}.",
        2.0,
    ),
    Family(
        ANY,
        CODES,
        (
            "The {k} is {v}.",
            "Remember that the {k} is {v}.",
            "The {k} has been set to {v}.",
            "{v} is the {k}.",
            "We chose {v} as the {k}.",
            "Please note the {k}: {v}.",
            "For today, the {k} is {v}.",
            "The {k} will be {v}.",
            "Here is the {k}: {v}.",
            "They told me the {k} is {v}.",
        ),
        ("Keep in mind that {v} is the {k}.", "From now on we use {v} as the {k}."),
        (
            "What is the {k}?",
            "Tell me the {k}.",
            "What's the {k}?",
            "Do you remember the {k}?",
            "What did I say the {k} was?",
            "Which {k} did I mention?",
            "I forgot the {k}, what is it?",
        ),
        ("Can you recall the {k}?", "Remind me of the {k}, please."),
        ("the {k}", "what the {k} is", "which {k} I mentioned", "what I said the {k} was"),
        "The {k} is {v}.",
        3.0,
    ),
    Family(
        ("name", "name", "invented"),
        ROLES,
        (
            "Our {k} is {v}.",
            "{v} is our {k}.",
            "The {k} is {v}.",
            "{v} works as the {k}.",
            "{v} was chosen as {k}.",
            "We have a {k}, {v}.",
        ),
        ("The person we picked as {k} is {v}.", "{v} will be acting as our {k}."),
        ("Who is our {k}?", "Who is the {k}?", "What is the name of our {k}?", "Do you know who our {k} is?"),
        ("Can you recall who the {k} is?", "Remind me who our {k} is."),
        ("who our {k} is", "the name of our {k}", "who the {k} is"),
        "Our {k} is {v}.",
        1.5,
    ),
    Family(
        ("time", "date", "word", "number"),
        EVENTS,
        ("The {k} is on {v}.", "The {k} was moved to {v}.", "We planned the {k} for {v}.", "The {k} starts at {v}."),
        ("We will have the {k} at {v}.",),
        ("When is the {k}?", "What time is the {k}?", "When did I say the {k} is?", "When does the {k} start?"),
        ("Remind me when the {k} is.",),
        ("when the {k} is", "the time of the {k}", "when the {k} starts"),
        "The {k} is at {v}.",
        0.7,
    ),
    Family(
        ("word", "place", "pair"),
        OBJECTS,
        (
            "I put the {k} in the {v}.",
            "The {k} is in the {v}.",
            "You will find the {k} in the {v}.",
            "I left the {k} in the {v}.",
            "We keep the {k} in the {v}.",
        ),
        ("The {k} can be found in the {v}.", "I stored the {k} in the {v}."),
        ("Where is the {k}?", "Where did I put the {k}?", "Where can I find the {k}?", "Where did I leave the {k}?"),
        ("Do you recall where the {k} is?", "Remind me where I put the {k}."),
        ("where the {k} is", "where I put the {k}", "where to find the {k}"),
        "The {k} is in the {v}.",
        1.2,
    ),
    Family(
        ANY,
        OWNED,
        (
            "{p}'s {k} is {v}.",
            "{v} is {p}'s {k}.",
            "{p} told me that {v} is the right {k}.",
            "I learned that the {k} of {p} is {v}.",
            "As for {p}, the {k} is {v}.",
        ),
        ("It turns out that {p}'s {k} is {v}.",),
        ("What is {p}'s {k}?", "What's the {k} of {p}?", "Do you know {p}'s {k}?", "Tell me {p}'s {k}."),
        ("Can you recall {p}'s {k}?",),
        ("{p}'s {k}", "what {p}'s {k} is", "the {k} of {p}"),
        "{p}'s {k} is {v}.",
        1.5,
    ),
    Family(
        ("place",),
        ("live",),
        ("I live in {v}.", "I moved to {v}.", "My home is in {v}.", "I have a flat in {v}.",
         "I am based in {v}."),
        ("My family and I settled in {v}.", "I have been living in {v} for years."),
        ("Where do I live?", "Which city do I live in?", "What place do I live in?", "Do you know where I live?"),
        ("Can you recall where I live?", "Remind me where my home is."),
        ("where I live", "the place I live in", "where my home is", "my place of residence"),
        "You live in {v}.",
        1.0,
    ),
    Family(
        ("job",),
        ("job",),
        ("I work as a {v}.", "My job is {v}.", "I am a {v}.", "I'm a {v} by profession.", "I earn my living as a {v}."),
        ("For a living, I am a {v}.",),
        ("What is my job?", "What do I do for a living?", "What do I work as?", "What is my profession?"),
        ("Can you recall my job?", "Remind me what my profession is."),
        ("my job", "what I do for a living", "what my job is", "my profession"),
        "You work as a {v}.",
        0.8,
    ),
    Family(
        ("name", "name", "invented"),
        ("me",),
        ("My name is {v}.", "I am {v}.", "I'm {v}.", "You can call me {v}.", "Hi, I'm {v}!", "Hello, my name is {v}."),
        ("People call me {v}.",),
        ("What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "How should you call me?"),
        ("Can you recall my name?", "Remind me what I am called."),
        ("my name", "what I am called", "what my name is", "who I am"),
        "Your name is {v}.",
        0.8,
    ),
    Family(
        ("invented", "name"),
        ("employer", "university", "gym", "bank"),
        ("My {k} is {v}.", "I go to a {k} called {v}.", "I joined {v}, it is my {k}.", "The {k} I chose is {v}."),
        ("These days my {k} is {v}.",),
        ("What is my {k}?", "Which {k} do I go to?", "What's the name of my {k}?"),
        ("Can you recall my {k}?",),
        ("my {k}", "the name of my {k}", "which {k} I go to"),
        "Your {k} is {v}.",
        0.5,
    ),
    Family(
        ANY,
        (),  # any vocabulary word can be the key
        ("The {k} is {v}.", "My {k} is {v}.", "In our story the {k} is {v}.", "We say {v} for the {k}.",
         "On the {k} it says {v}.", "The {k} belongs to {v}.", "Let us call the {k} {v}."),
        ("The {k} stands for {v}.",),
        ("What is the {k}?", "What did I say about the {k}?", "Tell me about the {k}.", "What about the {k}?"),
        ("What do you recall about the {k}?",),
        ("the {k}", "what the {k} is", "what I said about the {k}"),
        "The {k} is {v}.",
        1.5,
    ),
)  # fmt: skip


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(" | "))


# What writers call the families, in order.
NAMES = (
    "names", "favorites", "codes", "roles", "events", "objects", "persons", "home", "job", "me", "memberships", "words",
)  # fmt: skip

FAMILIES = tuple(
    replace(
        family,
        told=family.told + _parts(told) + said(name, "told"),
        asked=family.asked + _parts(asked) + said(name, "asked"),
    )
    for name, family, (told, asked) in zip(NAMES, FAMILIES, FAMILY_WORDINGS, strict=True)
)


def _compact(rows) -> tuple[Family, ...]:
    families = []
    for kinds, weight, keys, told, asked, sought, answer, *attribute in rows:
        told, asked, sought = map(_parts, (told, asked, sought))
        families.append(Family(tuple(kinds), keys, told, told, asked, asked, sought, answer, weight, *attribute))
    return tuple(families)


def _further(name: str, kind: dict) -> Family:
    """A writer's own kind of fact; one without keys gets one that no other has."""
    keys = (name,) if kind["keys"] == ["x"] else tuple(kind["keys"])
    told, asked, sought = (tuple(kind[part]) for part in ("told", "asked", "sought"))
    return Family(tuple(kind["values"]), keys, told, told, asked, asked, sought, kind["answer"], 0.4, name)


# What training draws from. The test asks about the first ones, which have most wordings: twice their weight.
EVERYDAY = tuple(replace(family, weight=2 * family.weight) for family in FAMILIES) + _compact(TRAINED)
EVERYDAY += tuple(_further(name, kind) for name, kind in further_kinds())
UNSEEN = _compact(HELD_OUT)
# The test's in the words of others.
EXAM = tuple(
    replace(family, told_test=said(name, "told", folder="exam"), asked_test=said(name, "asked", folder="exam"))
    for name, family in zip(NAMES, FAMILIES, strict=True)
)
