"""What the writers wrote: every line fits its place, and nothing of the test is said in training."""

import re

import pytest

from deltamem.train.families import EVERYDAY, EXAM, FAMILIES, NAMES
from deltamem.train.frames import CORRECTIONS, CORRECTIONS_TEST, LONG
from deltamem.train.phrasebook import free_facts, further_kinds, said
from deltamem.train.suites import LONG_TEST
from deltamem.train.words import KINDS

WITHOUT_KEY = ("home", "job", "me")
SURROUNDINGS = ("openers", "question_frames", "corrections", "long")


def slots(text):
    return sorted(re.findall(r"{(.*?)}", text))


def plain(text):
    return re.sub(r"[^a-z{} ]", "", text.lower().replace("favourite", "favorite")).strip()


@pytest.mark.parametrize("folder", ["writers", "exam"])
@pytest.mark.parametrize("name", NAMES)
def test_every_line_has_its_slots(folder, name):
    wanted = [] if name in WITHOUT_KEY else ["k", "p"] if name == "persons" else ["k"]
    told, asked = said(name, "told", folder=folder), said(name, "asked", folder=folder)
    assert told and asked
    assert [text for text in told if slots(text) != sorted([*wanted, "v"])] == []
    assert [text for text in asked if slots(text) != wanted] == []


def test_further_kinds_can_be_told_asked_and_answered():
    assert further_kinds()
    for name, kind in further_kinds():
        assert set(kind["values"]) <= set(KINDS), name
        key = [] if kind["keys"] == ["x"] else ["k"]
        person = ["p"] if "{p}" in kind["answer"] else []
        assert all(slots(text) == sorted([*key, *person, "v"]) for text in (*kind["told"], kind["answer"])), name
        assert all(slots(text) == [*key, *person] for text in (*kind["asked"], *kind["sought"])), name
        assert not re.search(r"\b(I|I'm|my|our|we)\b", " ".join([kind["answer"], *kind["keys"]]), re.IGNORECASE), name


def test_surroundings_have_a_place_for_what_they_surround():
    assert all("{" not in text for text in said("openers"))
    assert all(slots(text) == ["q"] for text in said("question_frames"))
    assert all(slots(text) in (["t"], ["old", "t"]) for text in said("corrections"))
    assert all(slots(text) == ["t"] for text in said("long"))


def shared(trained, tested):
    return {plain(text) for text in trained} & {plain(text) for text in tested}


def test_training_says_nothing_that_the_test_says():
    for family, exam in zip(FAMILIES, EXAM, strict=True):
        assert not shared(family.told, (*family.told_test, *exam.told_test))
        assert not shared(family.asked, (*family.asked_test, *exam.asked_test))
    assert not shared(CORRECTIONS, CORRECTIONS_TEST)
    assert not shared(LONG, LONG_TEST)


def test_no_writer_uses_a_word_of_the_test():
    lines = [text for family in EVERYDAY for text in (*family.told, *family.asked)]
    lines += [text for part in SURROUNDINGS for text in said(part)]
    assert [text for text in lines if re.search("recall|remind", text.lower())] == []


def test_free_facts_tell_their_value_and_do_not_ask_it():
    facts = free_facts()
    assert len({fact["told"] for fact in facts}) == len(facts) >= 100
    for fact in facts:
        assert fact["value"] in fact["told"]
        assert fact["value"].lower() not in fact["asked"].lower()
