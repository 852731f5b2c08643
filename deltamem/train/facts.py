"""Facts in everyday wording: how one is told, asked for and answered.

A family shares its wordings; each of its wordings belongs to training or to the test, never to both. The answer to a
question has one wording, so that exact match means something.
"""

import random
from dataclasses import dataclass

from .keys import CODES, EVENTS, LIKED, NAMED, OBJECTS, OWNED, ROLES
from .words import Values


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


@dataclass(frozen=True)
class Family:
    """Wordings with the slots {k} key, {v} value, {p} a person's name.

    told, asked: statements and questions; those of the test end in _test. sought: what a question is about, to stand in
    SOUGHT_FRAMES.
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


# Ways to lead up to a question, for training: {q} the question, {s} what is sought.
QUESTION_FRAMES = (
    "Quick question: {q}", "Hey, {q}", "So, {q}", "Now, {q}", "One question: {q}", "Please answer: {q}", "Thanks. {q}",
    "Let me test you: {q}", "Okay, and {q}", "{q} Please tell me.", "{q} I can't remember.", "Wait, {q}", "And {q}",
    "{q} Think about what I told you.", "I have a question. {q}", "Hmm, {q}", "Sorry, {q}", "{q} Thanks!",
)  # fmt: skip
SOUGHT_FRAMES = (
    "Tell me {s}.", "Please tell me {s}.", "Do you remember {s}?", "Do you know {s}?", "Can you tell me {s}?",
    "Could you tell me {s}?", "I need to know {s}.", "I forgot {s}.", "Repeat {s}, please.", "Let me know {s}.",
    "I would like to know {s}.", "Look up {s}.", "Have I told you {s}?", "Would you tell me {s}?", "Say {s} again.",
    "I want to hear {s}.", "Do you still know {s}?", "Did I mention {s}?", "Help me, I forgot {s}.", "Try to say {s}.",
    "Please repeat {s}.", "I cannot remember {s}.", "Find {s}.", "Answer this: {s}?", "You know {s}, right?",
    "Please state {s}.", "I'm looking for {s}.", "Check {s} for me.", "Show me {s}.", "Write {s}.",
)  # fmt: skip

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
        ("I live in {v}.", "I moved to {v}.", "My home is in {v}.", "I have a flat in {v}.", "I'm from {v}.",
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


def make_fact(rng: random.Random, values: Values, split: str, kind: str | None = None, taken=()) -> Fact:
    """A random fact whose value is of `split` and whose wordings are that split's; `kind` fixes the kind of value.

    `taken`: keys already used in the conversation.
    """
    while True:
        family = rng.choices(FAMILIES, [family.weight for family in FAMILIES])[0]
        if kind is not None and kind not in family.kinds:
            continue
        key = rng.choice(family.keys) if family.keys else rng.choice(values.words)
        person = rng.choice(values.capitals)
        name = f"{person}'s {key}" if "{p}" in family.answer else key
        value = values.draw(rng, kind or rng.choice(family.kinds))
        if name in taken or value.lower() in (key.lower(), person.lower()):
            continue
        slots = {"k": key, "v": value, "p": person}
        if split == "test":
            statement, question = rng.choice(family.told_test), rng.choice(family.asked_test)
        else:
            statement, question = rng.choice(family.told), _question(rng, family)
        statement = statement.format(**slots)
        return Fact(
            key=name,
            value=value,
            statement=statement[0].upper() + statement[1:],
            question=question.format(**slots),
            answer=family.answer.format(**slots),
        )


def _question(rng: random.Random, family: Family) -> str:
    """A training question of the family: plain, led up to, or built around what is sought."""
    draw = rng.random()
    if draw < 0.45:
        return rng.choice(SOUGHT_FRAMES).replace("{s}", rng.choice(family.sought))
    question = rng.choice(family.asked)
    if draw < 0.75:
        return question
    frame = rng.choice(QUESTION_FRAMES)
    inside = not frame.startswith("{q}") and not frame.endswith((". {q}", "! {q}"))
    return frame.replace("{q}", question[0].lower() + question[1:] if inside else question)
