"""Facts in everyday wording: how one is told, asked for and answered.

A family shares its wordings; each of its wordings belongs to training or to the test, never to both. The answer to a
question has one wording, so that exact match means something.
"""

import random
import re
from dataclasses import dataclass, field, replace

from .frames import CORRECTIONS, CORRECTIONS_TEST, capital, in_frame
from .keys import CODES, EVENTS, LIKED, NAMED, OBJECTS, OWNED, PEOPLE, ROLES
from .more_facts import HELD_OUT, TRAINED
from .wordings import FAMILY_WORDINGS, QUESTION_FRAMES, SOUGHT_FRAMES, TOLD_FRAMES, spelled
from .words import KINDS, Values, is_test_value


@dataclass(frozen=True)
class Fact:
    """One fact: `statement` tells it, `question` asks for it, `answer` is the full reply, `value` the part that counts.

    `key` names what it is about; two facts of one conversation never share it.
    """

    key: str
    value: str
    statement: str
    question: str
    answer: str
    family: "Family" = field(default=None, repr=False, compare=False)
    slots: tuple = field(default=(), repr=False, compare=False)
    wording: str = field(default="", repr=False, compare=False)  # of the statement, with its slots open


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


FAMILIES = tuple(
    replace(family, told=family.told + _parts(told), asked=family.asked + _parts(asked))
    for family, (told, asked) in zip(FAMILIES, FAMILY_WORDINGS, strict=True)
)


def _compact(rows) -> tuple[Family, ...]:
    families = []
    for kinds, weight, keys, told, asked, sought, answer, *attribute in rows:
        told, asked, sought = map(_parts, (told, asked, sought))
        families.append(Family(tuple(kinds), keys, told, told, asked, asked, sought, answer, weight, *attribute))
    return tuple(families)


EVERYDAY = FAMILIES + _compact(TRAINED)  # what training draws from
UNSEEN = _compact(HELD_OUT)


def make_fact(
    rng: random.Random,
    values: Values,
    split: str,
    kind: str | None = None,
    taken=(),
    families: tuple[Family, ...] = FAMILIES,
    about: tuple[str, str] | None = None,
    like: Fact | None = None,
) -> Fact:
    """A random fact of `families` whose value is of `values` and whose wordings are those of `split`.

    kind: of the value. taken: keys already used in the conversation. about: whose facts, as told and as answered.
    like: an earlier fact, of whose family this is to be; half the time in its very words, and where the family says
    whose, half the time of its key too.
    """
    key = wording = None
    if like:
        families = (like.family,)
        wording = like.wording if rng.random() < 0.5 else None
        if set(re.findall("{[opsS]}", like.family.answer.replace("{y}", "{o}"))) and rng.random() < 0.5:
            key = dict(like.slots)["k"]
    weights = [family.weight for family in families]
    tries = 0
    while True:
        family = rng.choices(families, weights)[0]
        tries += 1
        if tries > 50:  # every key of a small family is taken
            families, weights, key, wording = EVERYDAY, [family.weight for family in EVERYDAY], None, None
        if kind is not None and kind not in family.kinds:
            continue
        slots = {"k": key or rng.choice(family.keys or values.words), "p": rng.choice(values.capitals)}
        slots |= _owners(rng, values, family, about)
        fact = worded(rng, family, slots, _value(rng, values, family, kind), split, wording)
        if fact and fact.key not in taken:
            return fact


def _value(rng: random.Random, values: Values, family: Family, kind: str | None) -> str:
    while True:
        drawn = kind or rng.choice(family.kinds)
        if drawn in KINDS:
            return values.draw(rng, drawn)
        if is_test_value(drawn) == values.test:
            return drawn


def _owners(rng: random.Random, values: Values, family: Family, about: tuple[str, str] | None) -> dict[str, str]:
    """Owner and subject, as told and as answered; only for families that name one."""
    if not {"{o}", "{s}"} & set(re.findall(r"{.}", family.told[0] + family.answer + "".join(family.sought))):
        return {"o": "my", "y": "your", "s": "", "S": ""}
    draw, relative = rng.random(), rng.choice(PEOPLE)
    person = rng.choice(values.names if rng.random() < 0.4 and values.names else values.capitals)
    told, answered = about or ((f"my {relative}", f"your {relative}") if draw < 0.6 else (person, person))
    if about is None and "{o}" in family.told[0] + family.sought[0] and draw < 0.45:
        return {"o": "my", "y": "your", "s": told, "S": answered}
    return {"o": f"{told}'s", "y": f"{answered}'s", "s": told, "S": answered}


def worded(
    rng: random.Random, family: Family, slots: dict[str, str], value: str, split: str, wording: str | None = None
) -> Fact | None:
    """The fact in wordings of a split, or told in `wording`; None when the value also stands in one of the slots."""
    if any(value.lower() in slot.lower().split() for slot in slots.values()) or value.lower() in family.answer.lower():
        return None
    slots = slots | {"v": value}
    question = rng.choice(family.asked_test) if split == "test" else _question(rng, family)
    name = " ".join(slots[part] for part in "ops" if f"{{{part}}}" in family.answer.replace("{y}", "{o}").lower())
    key = f"{name} {slots['k']} {family.attribute}".removeprefix("my ").strip()
    wording = wording or _statement(rng, family, split)
    return Fact(
        key=key,
        value=value,
        statement=capital(wording.format(**slots)),
        question=capital(question.format(**slots)),
        answer=capital(family.answer.format(**slots)),
        family=family,
        slots=tuple(slots.items()),
        wording=wording,
    )


def corrected(rng: random.Random, values: Values, fact: Fact, split: str) -> Fact:
    """The same fact with another value, told as a correction."""
    while True:
        changed = worded(rng, fact.family, dict(fact.slots), _value(rng, values, fact.family, None), split)
        if changed and changed.value.lower() != fact.value.lower():
            break
    frame = rng.choice(CORRECTIONS_TEST if split == "test" else CORRECTIONS)
    return replace(changed, statement=in_frame(frame, changed.statement, old=fact.value), question=fact.question)


def asked_again(rng: random.Random, fact: Fact) -> str:
    """Another training question for the fact."""
    return capital(_question(rng, fact.family).format(**dict(fact.slots)))


def noted(rng: random.Random, fact: Fact) -> str:
    """The fact as shortly as it can be told: "The door code: gisk."."""
    sought = rng.choice(fact.family.sought).format(**dict(fact.slots))
    return capital(f"{sought}{rng.choice((': ', ' = ', ' - ', ' is '))}{fact.value}.")


def _statement(rng: random.Random, family: Family, split: str) -> str:
    """A statement of the family: one of its own or, in training, now and then one built around what is sought."""
    if split == "test":
        return rng.choice(family.told_test)
    if rng.random() < 0.25:
        return spelled(rng, rng.choice(TOLD_FRAMES)).replace("{z}", rng.choice(family.sought))
    return rng.choice(family.told)


def _question(rng: random.Random, family: Family) -> str:
    """A training question of the family: plain, led up to, or built around what is sought."""
    draw = rng.random()
    if draw < 0.4:
        return spelled(rng, rng.choice(SOUGHT_FRAMES)).replace("{z}", rng.choice(family.sought))
    question = rng.choice(family.asked)
    return question if draw < 0.75 else in_frame(spelled(rng, rng.choice(QUESTION_FRAMES)), question)
