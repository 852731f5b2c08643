"""Facts in everyday wording: how one is told, asked for and answered.

A family shares its wordings; each of its wordings belongs to training or to the test, never to both. The answer to a
question has one wording, so that exact match means something.
"""

import random
from dataclasses import dataclass

from .words import Values

NAMED = (
    "dog cat boat guitar laptop car robot rabbit horse parrot tortoise plant drone bike band startup company blog "
    "podcast shop farm village school street team server sister brother boss teacher doctor neighbor cousin aunt uncle "
    "son daughter husband wife landlord coach roommate dentist lawyer mentor manager goldfish hamster pony kitten puppy "
    "canary tent van truck scooter piano violin doll dragon house cottage garden bakery restaurant newsletter novel "
    "song recipe painting sculpture app website library assistant colleague supervisor trainer accountant agent "
    "grandmother grandfather nephew niece godmother partner therapist barber"
).split()
LIKED = (
    "color food drink animal sport band season city country book movie song singer flower fruit vegetable dessert "
    "game subject tree bird car instrument language holiday hobby author painter actor dish tea spice soup cheese snack "
    "planet stone metal toy fabric dance shape word letter number month wine beer bread fish insect"
).split()
CODES = [
    "wifi password", "door code", "code word", "secret word", "safe word", "locker code", "gate code", "alarm code",
    "username", "account name", "booking reference", "ticket number", "order number", "passphrase", "serial number",
    "flight number", "room number", "bus line", "magic word", "project name", "team name", "signal word", "meeting room",
    "host name", "branch name", "file name", "call sign", "network name", "garage code", "access code", "licence plate",
    "error code", "release name", "key phrase", "backup word", "station name", "menu special", "theme", "topic",
    "deadline", "budget", "title", "slogan", "nickname", "keyword", "target", "destination", "winner", "sponsor",
]  # fmt: skip
ROLES = [
    "team lead", "project manager", "designer", "treasurer", "captain", "chairperson", "editor", "head chef", "director",
    "secretary", "product owner", "reviewer", "host", "driver", "goalkeeper", "lead singer", "speaker", "organizer",
    "landlord", "new intern", "head nurse", "principal", "contact person", "translator", "sponsor", "client",
]  # fmt: skip
EVENTS = [
    "meeting", "party", "exam", "wedding", "concert", "interview", "launch", "review", "workshop", "flight", "deadline",
    "appointment", "match", "dinner", "conference", "demo", "training", "delivery", "inspection", "rehearsal", "lecture",
    "picnic", "ceremony", "race", "auction", "hearing", "release", "webinar",
]  # fmt: skip
OBJECTS = [
    "keys", "passport", "umbrella", "charger", "wallet", "spare key", "toolbox", "documents", "ladder", "medicine",
    "tickets", "glasses", "suitcase", "map", "camera", "flashlight", "first aid kit", "remote control", "notebook",
    "drill", "vacuum cleaner", "blanket", "contract", "receipt", "USB stick", "hard drive", "helmet", "tent", "gift",
]  # fmt: skip
OWNED = ["favorite color", "hometown", "job", "dog", "cat", "boat", "hobby", "favorite food", "nickname", "car", "team",
         "favorite drink", "password", "middle name", "school", "favorite book", "employer", "project"]  # fmt: skip


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
    """Wordings with the slots {k} key, {v} value, {p} a person's name."""

    kinds: tuple[str, ...]
    keys: tuple[str, ...]
    told: tuple[str, ...]
    told_test: tuple[str, ...]
    asked: tuple[str, ...]
    asked_test: tuple[str, ...]
    answer: str
    weight: float = 1.0


ANY = ("word", "word", "word", "name", "name", "invented", "pair", "number")
NAMELIKE = ("name", "name", "name", "invented", "word")

FAMILIES = (
    Family(
        NAMELIKE,
        tuple(NAMED),
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
        "Your {k} is called {v}.",
        3.0,
    ),
    Family(
        ANY,
        tuple(LIKED),
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
        "Your favorite {k} is {v}.",
        2.0,
    ),
    Family(
        ANY,
        tuple(CODES),
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
        "The {k} is {v}.",
        3.0,
    ),
    Family(
        ("name", "name", "invented"),
        tuple(ROLES),
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
        "Our {k} is {v}.",
        1.5,
    ),
    Family(
        ("time", "date", "word", "number"),
        tuple(EVENTS),
        ("The {k} is on {v}.", "The {k} was moved to {v}.", "We planned the {k} for {v}.", "The {k} starts at {v}."),
        ("We will have the {k} at {v}.",),
        ("When is the {k}?", "What time is the {k}?", "When did I say the {k} is?", "When does the {k} start?"),
        ("Remind me when the {k} is.",),
        "The {k} is at {v}.",
        0.7,
    ),
    Family(
        ("word", "place", "pair"),
        tuple(OBJECTS),
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
        "The {k} is in the {v}.",
        1.2,
    ),
    Family(
        ANY,
        tuple(OWNED),
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
        told, asked = (family.told_test, family.asked_test) if split == "test" else (family.told, family.asked)
        statement = rng.choice(told).format(**slots)
        return Fact(
            key=name,
            value=value,
            statement=statement[0].upper() + statement[1:],
            question=rng.choice(asked).format(**slots),
            answer=family.answer.format(**slots),
        )
