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


def test_the_checkers_judge_what_can_be_seen_by_eye():
    pytest.importorskip("lm_eval")
    pytest.importorskip("langdetect")
    try:
        ifeval.check_packages()
    except EvalError as error:
        pytest.skip(str(error))
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


def test_without_the_checkers_one_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("lm_eval"):
            raise ImportError("No module named 'lm_eval'")
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EvalError, match=r"lm-eval \(No module named 'lm_eval'\); pip install -r"):
        ifeval.check_packages()
