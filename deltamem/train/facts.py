"""Facts in everyday wording: how one is told, asked for, corrected and answered."""

import random
import re
from dataclasses import dataclass, field, replace

from .families import EVERYDAY, FAMILIES, Family
from .frames import CORRECTIONS, CORRECTIONS_TEST, capital, in_frame
from .keys import PEOPLE
from .wordings import QUESTION_FRAMES, SOUGHT_FRAMES, TOLD_FRAMES, spelled
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
    family: Family = field(default=None, repr=False, compare=False)
    slots: tuple = field(default=(), repr=False, compare=False)
    wording: str = field(default="", repr=False, compare=False)  # of the statement, with its slots open


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
