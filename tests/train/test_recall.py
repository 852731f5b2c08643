"""The recall test: its scores, its cases, and a run of the real path on a tiny model."""

import pytest

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.train import recall
from deltamem.train.facts import Fact
from deltamem.train.words import Values, is_test_value, vocabulary_words

from .test_facts import WORDS

FACT = Fact("dog", "Rex", "My dog is called Rex.", "What is my dog called?", "Your dog is called Rex.")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Your dog is called Rex.", (True, True)),
        ("rex", (True, True)),
        (" Rex!", (True, True)),
        ("I think it is Rex, yes.", (False, True)),
        ("Your dog is called Rexford.", (False, False)),
        ("", (False, False)),
    ],
)
def test_scores(answer, expected):
    assert recall.scores(answer, FACT) == expected


def test_cases_hold_only_test_values_and_are_the_same_every_time():
    values = Values(WORDS, "test")
    cases = recall.make_cases(recall.Suite(2, "word"), values, 20, seed=1)
    assert cases == recall.make_cases(recall.Suite(2, "word"), values, 20, seed=1)
    for facts, asked in cases:
        assert len(facts) == 2 and asked in facts and facts[0].key != facts[1].key
        assert all(is_test_value(fact.value) for fact in facts)


def test_a_whole_measurement(tiny, monkeypatch):
    monkeypatch.setattr(recall, "vocabulary_words", lambda tokenizer: WORDS)
    adapter = new_adapter(tiny.backbone, HFDeltaMemConfig(rank=4, alpha=8.0)).requires_grad_(False)
    result = recall.measure(tiny, {"TSW": adapter}, recall.Suite(2, "word", 1), 3, batch=2, progress=False)
    assert set(result) == {"base, no history", "base, full history", "TSW, state only"}
    # A zero-initialised memory steers nothing: with only the state to go by, it answers like the base model.
    told = [
        [example["said"] for example in result[name]["examples"]] for name in ("TSW, state only", "base, no history")
    ]
    assert told[0] == told[1]


def test_vocabulary_words_are_single_tokens(demo_model):
    words = vocabulary_words(demo_model.tokenizer)
    assert len(words) > 20_000
    assert all(len(demo_model.chat.text(f" {word}")) == 1 for word in words[::500])
