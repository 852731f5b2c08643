"""Cases of the recall test: what is told, what is asked, what should be answered.

Values, statement wordings and question wordings are those held out of training (where a suite says so, only the values
are). The same seed makes the same cases.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from .facts import Fact, corrected, make_fact, worded
from .families import EVERYDAY, EXAM, FAMILIES, UNSEEN
from .frames import UNTOLD, in_frame, joined
from .phrasebook import free_facts
from .smalltalk import LINES
from .sources import Document, read_dialogues, read_passages
from .words import Values

REPLY = "Alright, I have heard you."  # a reply that training does not contain
LONG_TEST = (
    "On my way to the market this morning I thought about what I should still tell you, and here it is: {t}",
    "To make a long story short, and because it may be useful to you one day, {t}",
    "Nobody asked me, and it is not a big thing, but since we are talking anyway, {t}",
)


@dataclass(frozen=True)
class Case:
    """turns: each one pass, (user, reply) exchanges. answers: the gold sentence first, other right answers after it.

    value: what an answer must contain.
    """

    turns: tuple[tuple[tuple[str, str], ...], ...]
    question: str
    answers: tuple[str, ...]
    value: str


@dataclass(frozen=True)
class Suite:
    """facts: told in as many turns. kind: of the values. between: turns of small talk between telling and asking.

    wording: "test" for statements and questions held out of training, "train" for those it used. form: how they are
    told ("turns", "message", "long", "corrected", "similar", "untold"), or of which families. talk: tokens of other
    talk between.
    """

    facts: int = 1
    kind: str | None = None
    between: int = 0
    wording: str = "test"
    form: str = "turns"
    talk: int = 0
    tokens: tuple[int, int] | None = None


SUITES = {
    "1 fact, single word": Suite(1, "word"),
    "1 fact, single word, familiar wording": Suite(1, "word", wording="train"),
    "2 facts, single words": Suite(2, "word"),
    "2 facts, single words, familiar wording": Suite(2, "word", wording="train"),
    "4 facts, single words": Suite(4, "word"),
    "1 fact, any kind of value": Suite(1),
    "1 fact, invented name": Suite(1, "invented"),
    "1 fact, 4 turns of small talk": Suite(1, "word", 4),
    "1 fact, name of two or three tokens": Suite(1, "pieces", tokens=(2, 3)),
    "1 fact, then 500 tokens of other talk": Suite(1, "word", talk=500),
    "corrected fact, the newer value": Suite(1, form="corrected"),
    "1 fact in a long sentence": Suite(1, form="long"),
    "3 facts in one message": Suite(3, form="message"),
    "2 similar facts": Suite(2, form="similar"),
    "1 fact of an unseen kind": Suite(1, form="unseen"),
    "1 fact of any everyday kind, familiar wording": Suite(1, wording="train", form="everyday"),
    "not told": Suite(2, form="untold"),
    "1 fact, single word, other writers' wording": Suite(1, "word", form="others"),
    "2 facts, single words, other writers' wording": Suite(2, "word", form="others"),
    "4 facts, single words, other writers' wording": Suite(4, "word", form="others"),
}
FREE_SUITES = {"1 fact in free words": 1, "2 facts in free words": 2}  # facts told in as many turns
DATA_SUITES = ("SGD dialogues, slot questions", "passages, questions")


def make_cases(suite: Suite, values: Values, count: int, seed: int, chat=None) -> list[Case]:
    """`count` cases. chat: counts tokens, for suites that need it."""
    rng = random.Random(f"recall {seed} {suite.facts} {suite.kind} {suite.between} {suite.wording} {suite.form}")
    return [_case(rng, suite, values, chat) for _ in range(count)]


def _case(rng: random.Random, suite: Suite, values: Values, chat) -> Case:
    facts = _facts(rng, suite, values, chat)
    asked = rng.choice(facts)
    told = [fact.statement for fact in facts]
    if suite.form == "message":
        told = [joined(rng, told)]
    elif suite.form == "long":
        told = [in_frame(rng.choice(LONG_TEST), told[0])]
    elif suite.form == "corrected":
        newer = corrected(rng, values, asked, suite.wording)
        told, asked = [*told, newer.statement], newer
    elif suite.form == "untold":
        keys = [fact.key for fact in facts]
        other = make_fact(rng, values, suite.wording, suite.kind, taken=keys)
        asked = Fact(other.key, "not told", "", other.question, UNTOLD)
    told += [" ".join(rng.sample(LINES, 3)) for _ in range(suite.between)]
    tokens = 0
    while tokens < suite.talk:
        told.append(" ".join(rng.sample(LINES, 6)))
        tokens += len(chat.message("user", told[-1]) + chat.message("assistant", REPLY))
    turns = tuple(((text, REPLY),) for text in told)
    return Case(turns, asked.question, (asked.answer, asked.value), asked.value)


def _facts(rng: random.Random, suite: Suite, values: Values, chat) -> list[Fact]:
    facts: list[Fact] = []
    families = {"unseen": UNSEEN, "everyday": EVERYDAY, "others": EXAM}.get(suite.form, FAMILIES)
    while len(facts) < suite.facts:
        kind = None if suite.kind == "pieces" else suite.kind
        fact = make_fact(rng, values, suite.wording, kind, [other.key for other in facts], families)
        if suite.kind == "pieces":
            fact = _with_value(rng, fact, values.draw(rng, rng.choice(("pieces", "invented"))), values, suite)
        if fact is None or fact.value in {other.value for other in facts}:
            continue
        if suite.tokens and not suite.tokens[0] <= len(chat.text(f" {fact.value}")) <= suite.tokens[1]:
            continue
        facts.append(fact)
        if suite.form == "similar":
            families = (fact.family,)
            if len({*fact.family.keys}) == 1 and "{p}" not in fact.family.answer:
                facts, families = [], FAMILIES  # nothing to tell two such facts apart
    return facts


def _with_value(rng: random.Random, fact: Fact, value: str, values: Values, suite: Suite) -> Fact | None:
    return worded(rng, fact.family, dict(fact.slots), value, suite.wording) if "name" in fact.family.kinds else None


def free_cases(facts: int, count: int, seed: int) -> list[Case]:
    """Facts that a writer who saw nothing of training told in sentences of all sorts, with values of any kind.

    Each is told once at most, so there are no more cases than those facts allow; the first one told is asked for. What
    counts is the value; it has not been kept out of training, and an answer in a sentence is never exact.
    """
    found = random.Random(f"free {seed}").sample(free_facts(), len(free_facts()))
    groups = [found[i : i + facts] for i in range(0, len(found) - facts + 1, facts)][:count]
    return [
        Case(
            tuple(((fact["told"], REPLY),) for fact in group),
            group[0]["asked"],
            (group[0]["value"],),
            group[0]["value"],
        )
        for group in groups
    ]


def dialogue_cases(path: str | Path, count: int, seed: int) -> list[Case]:
    """Questions about slots of real dialogues, one exchange a turn."""
    return _document_cases(read_dialogues(path, test=True), count, seed)


def passage_cases(path: str | Path, count: int, seed: int, without: frozenset[str] = frozenset()) -> list[Case]:
    """Questions about passages told in one message; without: titles of articles to leave out."""
    return _document_cases(read_passages(path, without=without), count, seed)


def _document_cases(documents: list[Document], count: int, seed: int) -> list[Case]:
    rng = random.Random(f"documents {seed}")
    cases = []
    for document in rng.sample(documents, min(count, len(documents))):
        wordings, answer = rng.choice(document.questions)
        turns = tuple(((user, reply or REPLY),) for user, reply in document.exchanges)
        cases.append(Case(turns, rng.choice(wordings), (answer,), answer))
    return cases
