"""IFEval with lm-eval's own checkers; skipped where they are not installed (deltamem/eval/requirements.txt)."""

import builtins

import pytest

from deltamem.eval.errors import EvalError
from deltamem.eval.items import Item
from deltamem.eval.tasks import ifeval


@pytest.fixture(autouse=True)
def fresh():
    ifeval._checkers.cache_clear()
    yield
    ifeval._checkers.cache_clear()


@pytest.fixture
def checkers():
    pytest.importorskip("lm_eval")
    pytest.importorskip("langdetect")
    try:
        ifeval.check_packages()
    except EvalError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction_id_list": ["punctuation:no_dash"]}, 'has the instruction "punctuation:no_dash", unknown'),
        ({"kwargs": [{"num_words": 5}]}, 'f.jsonl, row 1: "punctuation:no_comma" takes no arguments like'),
    ],
)
def test_instructions_are_built_before_anything_is_asked(checkers, change, message):
    row = {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    assert len(ifeval.read([("f.jsonl, row 1", row)])) == 1
    with pytest.raises(EvalError, match=message):
        ifeval.read([("f.jsonl, row 1", row | change)])


def test_the_checkers_judge_what_can_be_seen_by_eye(checkers):
    kwargs = [{}, {"relation": "at least", "num_words": 5}]
    asked = {"instructions": ["punctuation:no_comma", "length_constraints:number_words"], "kwargs": kwargs}
    item = Item("1", "Write five words without commas.", [], extra=asked)
    good = {"prompt_strict": 1.0, "instruction_strict": (1.0, 2), "prompt_loose": 1.0, "instruction_loose": (1.0, 2)}
    assert ifeval.score(item, "One two three four five")[1] == good
    # Strict sees the comma of the first line; loose may drop that line.
    half = good | {"prompt_strict": 0.0, "instruction_strict": (0.5, 2)}
    assert ifeval.score(item, "Sure, here it is:\nOne two three four five")[1] == half
    assert ifeval.score(item, "")[1] == dict.fromkeys(["prompt_strict", "prompt_loose"], 0.0) | dict.fromkeys(
        ["instruction_strict", "instruction_loose"], (0.0, 2)
    )


def test_an_answer_has_one_score(checkers):
    """lm-eval draws a letter where the prompt counts a sign, and langdetect draws."""
    asked = {
        "instructions": ["keywords:letter_frequency", "change_case:english_lowercase"],
        "kwargs": [{"let_relation": "at least", "letter": "#", "let_frequency": 2}, {}],
    }
    item = Item("1122", "Use # twice, in lower case.", [], extra=asked)
    scores = [ifeval.score(item, "a few letters are here, alte und neue")[1] for _ in range(12)]
    assert all(one == scores[0] for one in scores)


def test_without_the_checkers_one_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("lm_eval"):
            raise ImportError("No module named 'lm_eval'")
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EvalError, match=r"lm-eval \(No module named 'lm_eval'\); pip install -r"):
        ifeval.check_packages()
