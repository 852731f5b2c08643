"""Metrics against values worked out by hand; the F1 cases are those of the official SQuAD script."""

import pytest

from deltamem.compare.metrics import contains, exact_match, fold, normalise, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat,\na hat; an apple.", "cat hat apple"),
        ("Theatre", "theatre"),  # an article is a whole word
        ("A.B. co-op", "ab coop"),  # punctuation goes first: "A.B." loses no article
        ("a.", ""),
        ("Ünïcode — dash", "ünïcode — dash"),  # as published: ASCII punctuation only
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Jose\u0301", "José"),  # the same letter, encoded in two ways
        ("STRASSE", "Straße"),
        ("It’s “Tulip”!", "it's tulip"),
        ("«Тюльпан».", "тюльпан"),
        ("図利普。", "「図利普」"),
        ("¿Tulip?", "tulip"),
        ("１２", "12"),
        ("1,284.60", "1284.60"),
        ("1.284,60", "1284.60"),
        ("1.284.600", "1,284,600"),
        ("9.30", "9:30"),
        ("12.05.2023", "12/05/2023"),
        ("1984–1986", "1984-1986"),
        ("the A", "A"),
    ],
)
def test_what_is_the_same(a, b):
    assert fold(a) == fold(b) and exact_match(a, b) == contains(a, b) == token_f1(a, b) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("3.5", "35"), ("-5", "5"), ("10:30", "1030"), ("José", "Jose"), ("1,284", "1.284,6"), ("", "A"), ("", "!"),
        ("a", "the"), ("图", "利"),
    ],
)  # fmt: skip
def test_what_is_not(a, b):
    assert exact_match(a, b) == contains(a, b) == 0


@pytest.mark.parametrize(
    ("answer", "golds", "em", "inside", "f1"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1, 1, 1),
        ("It is the Eiffel Tower", "Eiffel Tower", 0, 1, 2 * 2 / (4 + 2)),
        ("Rexford", "Rex", 0, 0, 0),
        ("Rex", "Rexford", 0, 0, 0),
        ("tower", ["Eiffel Tower", "Tower"], 1, 1, 1),  # the best gold counts
        ("tower", ["Eiffel Tower", "bridge"], 0, 0, 2 * 1 / (1 + 2)),
        ("yes yes no", "yes no no", 0, 0, 2 * 2 / (3 + 3)),  # tokens count as often as they occur in both
        ("It is type A.", "A", 0, 1, 2 * 1 / (4 + 1)),  # an article, or a name
        ("제 개 이름은 렉스입니다.", "렉스", 0, 1, 2 * 2 / (10 + 2)),
        ("It costs 3.5 dollars", "3.5", 0, 1, 2 * 1 / (4 + 1)),
        ("It costs 3.5 dollars", ["3", "5"], 0, 0, 0),
        ("Boat—Tulip", "Tulip", 0, 1, 2 * 1 / (2 + 1)),
        ("the", "cat", 0, 0, 0),
        ("", "cat", 0, 0, 0),
        ("船叫郁金香号", "郁金香", 0, 1, 2 * 3 / (6 + 3)),  # no spaces between words
        ("cat", [], 0, 0, 0),
    ],
)
def test_scores(answer, golds, em, inside, f1):
    assert exact_match(answer, golds) == em
    assert contains(answer, golds) == inside
    assert token_f1(answer, golds) == pytest.approx(f1)


def test_benchmarks_score_as_published():
    assert exact_match("the", "a", normalise) == token_f1("the", "a", normalise) == 1, "nothing left on either side"
    assert exact_match("3.5", "35", normalise) == 1 and exact_match("It’s", "its", normalise) == 0
