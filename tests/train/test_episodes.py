"""Conversations: what is asked was told, the newer value counts, and what was not told is answered so."""

import random
import re

import pytest

from deltamem.train.curriculum import ASKING, LAYOUTS
from deltamem.train.episodes import Episodes, Told
from deltamem.train.facts import corrected, make_fact
from deltamem.train.families import EVERYDAY
from deltamem.train.frames import CORRECTIONS_TEST, UNTOLD, capital, in_frame, joined, long_sentence
from deltamem.train.smalltalk import SmallTalk
from deltamem.train.sources import Document
from deltamem.train.words import Values

from .test_facts import WORDS

DIALOGUE = Document(
    (("I want a table in Napa.", "For when?"), ("At 7 pm.", "Booked.")),
    ((("What is the city?",), "Napa"), (("What is the time?",), "7 pm")),
)
PASSAGE = Document((("Fossils of the Cambrian were found in Canada.", ""),), ((("Where were they found?",), "Canada"),))


@pytest.fixture(scope="module")
def episodes():
    values = Values(WORDS, "train")
    return Episodes(values, SmallTalk(), [("Hello", "Hello to you")], 8, [DIALOGUE], [PASSAGE])


def said(turn):
    return " ".join([*(text for exchange in turn.before for text in exchange), turn.user, turn.reply])


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_answered_was_said_before(episodes, name):
    for seed in range(25):
        turns = episodes.make(random.Random(seed), LAYOUTS[name])
        assert len(turns) == len(LAYOUTS[name].slots)
        told = ""
        for turn, kind in zip(turns, LAYOUTS[name].slots, strict=True):
            if turn is None:
                continue
            if kind in ASKING and turn.learned and turn.whole and turn.reply != UNTOLD:
                value = turn.reply.rstrip(".").split()[-1].lower()
                assert value in (told + turn.user).lower() or turn.user in told or "Okay" in turn.reply or told
            told += " " + said(turn)


def test_similar_facts_are_as_many_as_asked_for():
    def shared(similar):
        rng, told = random.Random(1), []
        episodes = Episodes(Values(WORDS, "train"), SmallTalk(), [], similar=similar)
        for _ in range(60):
            told.append(Told())
            episodes._fact(rng, told[-1])
            episodes._fact(rng, told[-1])
        pairs = [[id(fact.family) for fact in one.facts.values()] for one in told]
        return sum(first == second for first, second in pairs)

    assert shared(0.0) < 15 < 40 < shared(1.0)


def test_a_question_for_a_corrected_fact_is_answered_with_the_newer_value():
    rng, values = random.Random(5), Values(WORDS, "train")
    for _ in range(200):
        fact = make_fact(rng, values, "train", families=EVERYDAY)
        newer = corrected(rng, values, fact, "train")
        assert newer.key == fact.key and newer.value != fact.value and newer.question == fact.question
        assert newer.value.lower() in newer.statement.lower() and newer.value in newer.answer


def test_nothing_told_is_answered_so(episodes):
    turns = [episodes._ask(random.Random(seed), Told()) for seed in range(40)]
    assert {turn.reply for turn in turns} <= {UNTOLD, "Hello to you"}
    assert any(turn.reply == UNTOLD for turn in turns)


def test_what_was_not_told_is_no_key_of_what_was(episodes):
    for seed in range(60):
        rng, told = random.Random(seed), Told()
        fact = episodes._fact(rng, told)
        assert episodes._unknown(rng, told) != fact.question


def test_message_memories_get_one_exchange_a_pass():
    values = Values(WORDS, "train")
    episodes = Episodes(values, SmallTalk(), [], 8, [DIALOGUE], [PASSAGE], by_message=True)
    for seed in range(60):
        for name in ("dense", "talk"):
            turns = episodes.make(random.Random(seed), LAYOUTS[name])
            assert all(turn is None or not turn.before for turn in turns)


def test_ordinary_turns_tell_no_fact(episodes):
    found = 0
    for seed in range(80):
        for name in LAYOUTS:
            rng, told = random.Random(seed), Told()
            chat, other = episodes._chat(rng), episodes._other(rng, told)
            assert chat.ordinary and other.ordinary and not told.facts
            turns = [turn for turn in episodes.make(rng, LAYOUTS[name]) if turn]
            found += sum(turn.ordinary for turn in turns)
            assert all(turn.ordinary for turn in turns if turn.bare)
            assert all(not turn.ordinary for turn in turns if turn.learned and turn.whole)
    assert found > 100


def test_the_same_seed_makes_the_same_conversation(episodes):
    for name in LAYOUTS:
        assert episodes.make(random.Random(3), LAYOUTS[name]) == episodes.make(random.Random(3), LAYOUTS[name])


def test_frames_lose_no_value():
    rng, values = random.Random(1), Values(WORDS, "train")
    facts = [make_fact(rng, values, "train", families=EVERYDAY) for _ in range(300)]
    for fact in facts:
        assert fact.value.lower() in long_sentence(rng, fact.statement).lower()
        assert not re.search(r"{\w+}", fact.statement + fact.question + fact.answer)
        for frame in CORRECTIONS_TEST:
            assert fact.value.lower() in in_frame(frame, fact.statement, old="old").lower()
    for some in zip(facts[::3], facts[1::3], facts[2::3], strict=True):
        text = joined(rng, [fact.statement for fact in some]).lower()
        assert all(fact.value.lower() in text for fact in some)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_turn_that_asks_names_the_turn_that_told(episodes, name):
    asking, made = 0, {word.lower() for word in WORDS}
    for seed in range(60):
        turns = episodes.make(random.Random(seed), LAYOUTS[name])
        for i, turn in enumerate(turns):
            if turn is None or turn.told is None:
                continue
            assert LAYOUTS[name].slots[i] in ASKING and turn.told < i
            words = re.findall(r"\w+", turn.reply.lower())
            known = {word for word in words if word in made or word.isdigit()}
            asking += len(known)
            assert known <= set(re.findall(r"\w+", said(turns[turn.told]).lower()))
    assert asking > 20


def test_a_corrected_fact_was_told_by_its_correction():
    rng, told = random.Random(2), Told()
    episodes = Episodes(Values(WORDS, "train"), SmallTalk(), [])
    fact = episodes._fact(rng, told)
    told.turn = 3
    told.add(corrected(rng, episodes.values, fact, "train"))
    assert told.turns == {fact.key: 3}


def test_as_many_texts_are_worn_as_asked_for():
    def told(share):
        rng, facts = random.Random(1), []
        episodes = Episodes(Values(WORDS, "train"), SmallTalk(), [], worn=share)
        for _ in range(60):
            facts.append(episodes._fact(rng, Told()))
        return [fact.statement == capital(fact.wording.format(**dict(fact.slots))) for fact in facts]

    assert all(told(0.0)) and 0 < sum(told(1.0)) < 30


def test_strange_words_stand_in_worn_questions_alone():
    rng, told_with, asked_with = random.Random(5), set(), set()
    episodes = Episodes(Values([*WORDS, "recall", "reminded"], "train"), SmallTalk(), [], worn=1.0)
    assert len(episodes.strange) == len(episodes.values.words) - 2
    for _ in range(100):
        told = Told()
        fact = episodes._fact(rng, told)
        turn = episodes._ask(rng, told)
        if turn.told is None:
            continue
        slots = " ".join([fact.value, *dict(fact.slots).values()]).lower()
        strange = {word for word in episodes.strange if word not in slots}
        told_with |= strange & set(re.findall(r"\w+", fact.statement.lower()))
        asked_with |= strange & set(re.findall(r"\w+", turn.user.lower()))
    assert asked_with and not told_with
