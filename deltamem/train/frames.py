"""What surrounds facts: long sentences, corrections, and answers to what was never told.

Slots: {q} a question, {t} a statement, {old} the value before a correction.
"""

import random
import re
from collections.abc import Sequence

from .phrasebook import said

CORRECTIONS = (
    "Actually, {t}", "Correction: {t}", "Sorry, I was wrong. {t}", "Update: {t}", "I have to correct myself: {t}",
    "It is not {old} any more. {t}", "Forget {old}. {t}", "That has changed. {t}", "Not {old}: {t}",
    "I made a mistake before, {t}", "{t} It used to be {old}.", "Things are different now. {t}", "No, wait. {t}",
    "I changed my mind: {t}", "Earlier I said {old}, but {t}", "News: {t}", "Since today, {t}", "{t} Not {old}.",
    "{t} Please forget what I said before.", "Now {t}", "From today on, {t}", "Please note the change: {t}",
    "{old} is no longer right. {t}", "It was {old}, but now {t}", "{t} I was mistaken before.", *said("corrections"),
)  # fmt: skip
CORRECTIONS_TEST = ("Let me fix that: {t}", "I said {old}, which is out of date. {t}", "Scratch that, {t}")

# A statement in the middle of a longer sentence; {t} begins in lower case where a sentence goes on.
LONG = (
    "When I came home last night, I suddenly remembered that {t}",
    "I was on the phone for an hour and told everyone that {t}", "You may find this strange, but {t}",
    "Because so many people have asked me about it lately, I will say it once: {t}",
    "After a long day at the office and a slow ride home, I just want to say that {t}", "As far as I know, {t}",
    "It took us quite a while to get there, but {t}", "My neighbor was very surprised to hear that {t}",
    "Before we talk about anything else, you should know that {t}",
    "While we were waiting for the bus, I mentioned that {t}",
    "I have been meaning to write to you for weeks now, mostly to let you know that {t}",
    "If I remember correctly, {t}", "There is a lot going on at the moment, and on top of it all {t}",
    "In case anyone asks you about it later, {t}",
    "Last weekend, when the whole family sat around the table, we talked about how {t}", "Believe it or not, {t}",
    "I don't think that I have ever told you this, but {t}", "For reasons that I will explain another time, {t}",
    "The funny thing is that {t}", "What I really wanted to tell you is that {t}", "It is true that {t}",
    "We had a long talk about it yesterday and agreed that {t}", "Just between the two of us, {t}", "I guess {t}",
    "One thing that people who know me well would tell you is that {t}",
    "At the end of a rather busy week, I can say that {t}", *said("long"),
)  # fmt: skip
TAILS = (
    ", which makes me happy", ", as you may already know", ", although it was not planned",
    ", and it has been like that for years", ", if that is of any use to you", ", and I would not want to change it",
    ", which is nice", ", at least for now", ", and everybody around here knows it", ", to be honest",
    ", and that is all there is to say", ", in case you were wondering", ", which surprised a lot of people",
    ", and I am quite proud of it", ", of course", ", even though some of my friends did not believe it at first",
    ", so please keep it in mind for later",
)  # fmt: skip
JOINS = (
    " and ",
    ", and ",
    ", while ",
    "; ",
    ", and also ",
    ". Also, ",
    ". Besides, ",
    ". And ",
    ". ",
    ". ",
    ". ",
    ", but ",
)

UNTOLD = "You have not told me that."


def capital(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def casual(rng: random.Random, text: str) -> str:
    """The text as people type it: now and then without a capital at the start or a mark at the end."""
    draw = rng.random()
    if draw < 0.1:
        text = lower_start(text)
    if 0.05 < draw < 0.15 and text[-1:] in ".?":
        text = text[:-1]
    return text


def lower_start(text: str) -> str:
    """A sentence as it goes on in another: lower case unless it starts with a name or "I"."""
    return text[0].lower() + text[1:] if re.match(r"(The|My|Our|We|You|It|As|In|On|They|There|Did|What|Which|Who|Where|"
                                                  r"When|How|Do|Does|Is|Are|For|To|Most|Today|Among|People|Use|Please|"
                                                  r"From|Room|Note|Don't)\b", text) else text  # fmt: skip


def in_frame(frame: str, text: str, old: str = "") -> str:
    """The frame with the statement or question in it; in the middle of a sentence it starts in lower case."""
    slot = "{q}" if "{q}" in frame else "{t}"
    before = frame.partition(slot)[0].rstrip()
    inside = bool(before) and not before.endswith((".", "!", "?"))
    return capital(frame.replace(slot, lower_start(text) if inside else text).replace("{old}", old))


def long_sentence(rng: random.Random, statement: str) -> str:
    """The statement inside a longer sentence."""
    draw = rng.random()
    text = in_frame(rng.choice(LONG), statement) if draw < 0.75 else statement
    if draw > 0.45 and text.endswith("."):
        text = text[:-1] + rng.choice(TAILS) + "."
    return text


def joined(rng: random.Random, statements: list[str]) -> str:
    """Several statements as one text, some of them in one sentence."""
    text = statements[0]
    for following in statements[1:]:
        join = rng.choice(JOINS)
        if not text.endswith("."):
            join = " "
        goes_on = not join.endswith(". ") and join != " "
        text = (text[:-1] if join != " " else text) + join + (lower_start(following) if goes_on else following)
    return text


# What stands in for a lost word: words that say little.
STOPGAPS = (
    "a the my our your this that these it one some any all each here there now then today again still just only even "
    "really simply maybe always ever also too well so and or but as if when while for from with without about of in on "
    "at by to into over under near after before between is was be been being has had do did can could will would may "
    "might must get got give go come take make keep put set see say said tell told know think call find use want need "
    "like means stands holds remains seems looks became thing way matter case word kind sort part side end place time"
).split()


def worn(rng: random.Random, text: str, kept: list[str], strange: Sequence[str] = ()) -> str:
    """The text with some words lost, replaced or added, but for those that occur in `kept`.

    What is meant must then be found by any part of what was said, as in a wording never seen before. strange: half of
    the gaps get one of these words instead of one that says little, as a word that a question only happens to contain
    is not what was told.
    """

    names = {word.lower() for words in kept for word in re.findall(r"\w+", words)}
    rate, words = rng.choice((0.1, 0.2, 0.3)), []

    def another() -> str:
        word = rng.choice(strange if strange and rng.random() < 0.5 else STOPGAPS)
        return another() if word.lower() in names else word

    for word in text.split():
        draw, named = rng.random(), not names.isdisjoint(re.findall(r"\w+", word.lower()))
        if draw < rate and not named:
            if draw < rate / 2:
                words.append(another() + re.sub(r"^\w[\w']*", "", word))
            continue
        if draw > 1 - rate / 4 and not named:
            words.append(another())
        words.append(word)
    return " ".join(words)
