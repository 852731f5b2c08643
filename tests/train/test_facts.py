"""Generated facts: seeded, answerable, and split so that nothing of the test is seen in training."""

import random

import pytest

from deltamem.train.facts import FAMILIES, SOUGHT_FRAMES, make_fact
from deltamem.train.words import Values, invented_name, is_test_value

WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in ("ter", "lon", "mid", "sk", "rn")]
WORDS += [word.capitalize() for word in WORDS]
KINDS = ("word", "name", "invented", "pair", "place", "job", "number", "time", "date")


@pytest.mark.parametrize("kind", KINDS)
def test_values_stay_in_their_split(kind):
    rng = random.Random(0)
    for split, values in (("train", Values(WORDS, "train")), ("test", Values(WORDS, "test"))):
        for _ in range(50):
            value = values.draw(rng, kind)
            parts = value.split() if kind == "pair" else [value]
            assert {is_test_value(part) for part in parts} == {split == "test"}


def test_no_wording_belongs_to_both_splits():
    for family in FAMILIES:
        assert not set(family.told) & set(family.told_test)
        assert not set(family.asked) & set(family.asked_test)
        led_up = {frame.replace("{s}", sought) for frame in SOUGHT_FRAMES for sought in family.sought}
        assert not led_up & set(family.asked_test)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_fact_says_its_value_and_its_question_does_not(split):
    rng, values = random.Random(1), Values(WORDS, split)
    for _ in range(300):
        fact = make_fact(rng, values, split)
        assert fact.value.lower() in fact.statement.lower()
        assert fact.value.lower() not in fact.question.lower().split()
        assert fact.answer.endswith(f"{fact.value}.")
        assert "{" not in fact.statement + fact.question + fact.answer


def test_the_same_seed_makes_the_same_facts():
    values = Values(WORDS, "train")
    first, second = ([make_fact(random.Random(7), values, "train")] for _ in range(2))
    assert first == second


def test_a_taken_key_is_not_used_again():
    rng, values = random.Random(2), Values(WORDS, "train")
    taken = {make_fact(rng, values, "train").key for _ in range(40)}
    assert all(make_fact(rng, values, "train", taken=taken).key not in taken for _ in range(40))


def test_invented_names_are_words():
    rng = random.Random(3)
    assert all(invented_name(rng).isalpha() for _ in range(200))
