"""Generated facts: seeded, answerable, and split so that nothing of the test is seen in training."""

import random
import re

import pytest

from deltamem.train.facts import asked_again, make_fact, noted
from deltamem.train.families import EVERYDAY, FAMILIES
from deltamem.train.frames import worn
from deltamem.train.wordings import SOUGHT_FRAMES, spelled
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


def test_no_question_built_around_what_is_sought_is_the_tests():
    rng = random.Random(0)
    for family in FAMILIES:
        led_up = {spelled(rng, frame).replace("{z}", z) for frame in SOUGHT_FRAMES for z in family.sought}
        assert not led_up & set(family.asked_test)


def test_training_asks_in_no_word_of_the_test():
    rng, values = random.Random(4), Values(WORDS, "train")
    for _ in range(2000):
        fact = make_fact(rng, values, "train", families=EVERYDAY)
        assert not re.search(r"recall|remind", (fact.statement + asked_again(rng, fact)).lower())


def test_a_choice_in_a_frame_is_spelled_out():
    rng = random.Random(0)
    assert {spelled(rng, "(a|b) {z}(!|)") for _ in range(50)} == {"a {z}!", "b {z}!", "a {z}", "b {z}"}


def test_a_fact_like_another_is_of_its_family_and_often_of_its_key_and_in_its_words():
    rng, values, same, words = random.Random(6), Values(WORDS, "train"), 0, 0
    family = next(family for family in EVERYDAY if family.answer == "{p}'s {k} is {v}.")
    for _ in range(40):
        first = make_fact(rng, values, "train", families=(family,))
        second = make_fact(rng, values, "train", taken=[first.key], like=first)
        assert second.family is family and second.key != first.key
        same += dict(first.slots)["k"] == dict(second.slots)["k"]
        words += first.wording == second.wording
        assert second.statement.lower() == second.wording.format(**dict(second.slots)).lower()
        assert first.value in noted(rng, first)
    assert 10 < same < 35 and 12 < words < 36


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


def test_worn_texts_keep_what_they_are_about_and_lose_other_words():
    rng, said = random.Random(2), set()
    for _ in range(300):
        text = worn(rng, "The name of my old dog, by the way, is Rex Bone.", ["dog", "Rex Bone", ""])
        assert "dog," in text.split() and "Rex Bone." in text
        said.add(text)
    assert len(said) > 200


def test_strange_words_stand_in_every_other_gap_of_a_worn_text():
    text, rng, found = "Tell me what the code is, please.", random.Random(3), []
    for _ in range(200):
        new = [word for word in worn(rng, text, ["code"], ["zebra"]).split() if word not in text.split()]
        found += [word.strip(",.") == "zebra" for word in new]
    assert 0.4 < sum(found) / len(found) < 0.6
