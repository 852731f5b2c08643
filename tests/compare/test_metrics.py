"""Metrics against values worked out by hand; the F1 cases are those of the official SQuAD script."""

import pytest

from deltamem.compare.metrics import contains, exact_match, normalise, token_f1


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
    ("answer", "golds", "em", "inside", "f1"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1, 1, 1),
        ("It is the Eiffel Tower", "Eiffel Tower", 0, 1, 2 * 2 / (4 + 2)),
        ("Rexford", "Rex", 0, 0, 0),
        ("Rex", "Rexford", 0, 0, 0),
        ("tower", ["Eiffel Tower", "Tower"], 1, 1, 1),  # the best gold counts
        ("tower", ["Eiffel Tower", "bridge"], 0, 0, 2 * 1 / (1 + 2)),
        ("yes yes no", "yes no no", 0, 0, 2 * 2 / (3 + 3)),  # tokens count as often as they occur in both
        ("the", "a", 1, 0, 1),  # nothing left on either side
        ("the", "cat", 0, 0, 0),
        ("", "cat", 0, 0, 0),
        ("船叫郁金香号", "郁金香", 0, 1, 0),  # no spaces between words
        ("cat", [], 0, 0, 0),
    ],
)
def test_scores(answer, golds, em, inside, f1):
    assert exact_match(answer, golds) == em
    assert contains(answer, golds) == inside
    assert token_f1(answer, golds) == pytest.approx(f1)
