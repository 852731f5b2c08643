"""Every scorer against values worked out by hand from its published rules."""

import pytest

from deltamem.eval.items import Item
from deltamem.eval.scores import first_line, holds_alias, last_letter, locomo_f1, locomo_tokens
from deltamem.eval.tasks import gpqa, hotpotqa, longmemeval, qasper


def test_first_line():
    assert first_line("\n  \n Rex, the dog \nand more") == "Rex, the dog"
    assert first_line(" \n ") == ""


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The running dogs, and a cat's toys!", ["run", "dog", "cat", "toy"]),  # "cat's" → "cats" → "cat"
        ("1,540 questions", ["1540", "question"]),  # commas go first, without a space
        ("Café", ["cafe\u0301"]),  # NFD: the accent is a character of its own
        ("An AND the", []),
        ("dying", ["die"]),  # nltk's extension; the plain algorithm says "dy"
    ],
)
def test_locomo_tokens(text, tokens):
    pytest.importorskip("nltk")
    assert locomo_tokens(text) == tokens


@pytest.mark.parametrize(
    ("answer", "gold", "category", "score"),
    [
        ("on 7 May, 2023", "7 May 2023", "2", 2 * 3 / (4 + 3)),
        ("She likes paintings", "painting", "4", 2 * 1 / (3 + 1)),
        ("the", "a", "4", 0.0),  # nothing left on either side scores nothing in LoCoMo
        ("Yes", "Likely yes; she loves it", "3", 2 * 1 / (1 + 2)),  # only what stands before the semicolon
        ("Yes", "Likely yes; she loves it", "4", 2 * 1 / (1 + 5)),
        # Parts: "beach" matches 1, "the mountains" best matches "mountain hut" with 2·1/(2+1) → (1 + 2/3) / 2
        ("beach, mountain hut", "beach, the mountains", "1", (1 + 2 / 3) / 2),
        ("beach mountains", "beach, mountains", "1", (2 / 3 + 2 / 3) / 2),  # one part stands for both
        ("", "beach, mountains", "1", 0.0),
    ],
)
def test_locomo_f1(answer, gold, category, score):
    pytest.importorskip("nltk")
    assert locomo_f1(answer, gold, category) == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ('First {"answer": "A"}, no: {"answer": "c"}', "C"),  # the last one that can be read counts
        ('{"answer": "B"} and then {"answer": "E"}', "B"),
        ('{"answer": "D"} {"answer": ', "D"),
        ('```json\n{"answer": "A"}\n```', "A"),
        ('{"reason": "x", "answer": " b "}', "B"),
        (r'{"reason": "\\frac{1}{2} of {x}", "answer": "D"}', "D"),  # braces in the reasoning
        (r'{"reason": "\alpha is {half", "answer": "D"}', "D"),  # which no JSON reader takes
        ('{"answer": "A"} so {the rest is prose}', "A"),
        ('{"answer": "(c) 5 eV"} {"answer": "Because"} {"answer": "LETTER"}', "C"),
        ('{"answer": "b. B and C"}', "B"),
        ('{"answer": "A or B"}', None),
        ('{"a":' * 5000, None),
        ("The answer is B.", None),
        ("", None),
    ],
)
def test_gpqa_letter(answer, letter):
    assert last_letter(answer) == letter
    item = Item("x", "?", ["B"])
    assert gpqa.score(item, answer)[1] == {"accuracy": float(letter == "B"), "parsed": float(letter is not None)}


@pytest.mark.parametrize(
    ("answer", "aliases", "score"),
    [
        ("It is the Paris of the north.", ["Paris"], 1.0),
        ("label: 12", ["12"], 1.0),
        ("label: 120", ["12"], 1.0),  # as published: a part of a word counts
        ("I don't know", ["Paris", "paris, france"], 0.0),
        ("Paris!", ["London", "The Paris"], 1.0),
        ("anything", ["the"], 0.0),  # an alias that normalises to nothing is in no answer
        ("A ", ["A"], 1.0),  # but may be one
    ],
)
def test_memory_agent_bench(answer, aliases, score):
    assert holds_alias(answer, aliases) == score


@pytest.mark.parametrize(
    ("answer", "gold", "em", "f1"),
    [
        ("Kansas song.\nBecause …", "the Kansas Song", 1.0, 1.0),  # the first line alone
        ("yes, Kansas", "Kansas Song", 0.0, 2 * 1 / (2 + 2)),
        ("Yes.", "yes", 1.0, 1.0),
        ("yes, it is", "yes", 0.0, 0.0),  # the official script knows no half of a yes
        ("no", "no man's land", 0.0, 0.0),
        ("3.5 miles", "35 miles", 1.0, 1.0),  # its normaliser deletes the point
        ("3\u20135", "3-5", 0.0, 0.0),  # and only ASCII punctuation
    ],
)
def test_hotpotqa(answer, gold, em, f1):
    assert hotpotqa.score(Item("x", "?", [gold]), answer)[1] == {"em": em, "f1": pytest.approx(f1)}


def test_qasper_takes_the_best_annotator():
    item = Item("x", "?", ["Unanswerable", "3,044 sentences"])
    assert qasper.score(item, "about 3044 sentences")[1]["f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert qasper.score(item, "unanswerable.")[1]["f1"] == 1.0


def test_longmemeval_looks_for_the_answer_anywhere_in_the_reply():
    item = Item("x", "?", ["6:45 AM"])
    said, scores = longmemeval.score(item, "Let me see.\nYou wake up at 6:45 AM.")
    assert said == "Let me see." and scores == {"contains": 1.0, "f1": 0.0}
