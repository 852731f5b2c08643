"""The recall test: its scores, its cases, and a run of the real path on a tiny model."""

import json

import pytest
import torch

from deltamem.core import Binding, HFDeltaMemConfig, bind, new_adapter
from deltamem.train import recall, suites
from deltamem.train.ablation import scaled
from deltamem.train.suites import SUITES, Case, Suite, free_cases, make_cases
from deltamem.train.words import Values, is_test_value, vocabulary_words

from .test_facts import WORDS

CASE = Case(((("My dog is called Rex.", "Hm."),),), "What is my dog called?", ("Your dog is called Rex.", "Rex"), "Rex")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Your dog is called Rex.", (1, 1, 1)),
        ("rex", (1, 1, 1)),
        (" Rex!", (1, 1, 1)),
        ("I think it is Rex, yes.", (0, 1, 1 / 3)),
        ("Your dog is called Rexford.", (0, 0, 0.8)),
        ("", (0, 0, 0)),
    ],
)
def test_scores(answer, expected):
    assert recall.scores(answer, CASE) == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize("name", SUITES)
def test_cases_hold_only_test_values_and_are_the_same_every_time(tiny, name):
    values, suite = Values(WORDS, "test"), SUITES[name]
    if suite.tokens:
        suite = Suite(suite.facts, suite.kind, tokens=(2, 40))  # the tiny tokenizer spells names out
    cases = make_cases(suite, values, 12, 1, tiny.chat)
    assert cases == make_cases(suite, values, 12, 1, tiny.chat)
    for case in cases:
        told = " ".join(user for turn in case.turns for user, _ in turn).lower()
        assert len(case.turns) >= 1 and case.question and "{" not in told + case.question
        if suite.form == "untold":
            assert case.answers[0] == "You have not told me that."
        else:
            assert case.value.lower() in told
            assert is_test_value(case.value) or " " in case.value


@pytest.mark.parametrize("facts", [1, 2])
def test_free_facts_are_told_once_at_most(facts):
    cases = free_cases(facts, 1000, 1)
    told = [user for case in cases for turn in case.turns for user, _ in turn]
    assert len(set(told)) == len(told) == facts * len(cases) >= 100
    assert all(any(case.value in user for turn in case.turns for user, _ in turn) for case in cases)
    assert free_cases(facts, 7, 1) == cases[:7] != free_cases(facts, 7, 2)


def test_talk_between_is_as_long_as_it_says(tiny):
    case = make_cases(Suite(1, "word", talk=500), Values(WORDS, "test"), 1, 0, tiny.chat)[0]
    tokens = sum(len(tiny.chat.message("user", user)) for turn in case.turns[1:] for user, _ in turn)
    assert tokens > 400


def test_a_whole_measurement(tiny):
    adapter = new_adapter(tiny.backbone, HFDeltaMemConfig(rank=4, alpha=8.0)).requires_grad_(False)
    cases = make_cases(Suite(2, "word", 1), Values(WORDS, "test"), 3, 0, tiny.chat)
    columns = recall.columns_of({"TSW": adapter}, base=True, controls=True)
    result = recall.measure(tiny, columns, cases, batch=2, progress=False)
    assert list(result) == ["base, no history", "base, full history", "TSW, state only", "TSW, zero state",
                            "TSW, another dialogue's state"]  # fmt: skip
    # A zero-initialised memory steers nothing: with only the state to go by, it answers like the base model.
    told = [
        [example["said"] for example in result[name]["examples"]] for name in ("TSW, state only", "base, no history")
    ]
    assert told[0] == told[1]
    assert recall.row("1 fact", result).count("/") == 5 and "F1" in recall.row(suites.DATA_SUITES[0], result)


def test_telling_without_corrections_writes_what_the_backbone_alone_sees(tiny):
    torch.manual_seed(0)
    adapter = new_adapter(tiny.backbone, HFDeltaMemConfig(rank=4, alpha=8.0, output_init="base_slice"))
    rows, off = [((("My dog is Rex.", "Fine."),),)], scaled(adapter, 0.0)
    alone, unsteered = recall.write_turns(tiny, off, rows), recall.write_turns(tiny, adapter, rows, strength=0.0)
    steered = recall.write_turns(tiny, adapter, rows)
    last = list(alone)[-1]
    torch.testing.assert_close(unsteered, alone)
    assert not torch.allclose(steered[last], alone[last])


def test_states_cut_to_rank_one():
    torch.manual_seed(0)
    left, right = torch.randn(2, 3, 4, 1), torch.randn(2, 3, 1, 4)
    torch.testing.assert_close(recall._rank_one(left @ right), left @ right)
    cut = recall._rank_one(torch.diag(torch.tensor([3.0, 2.0]))[None, None])
    torch.testing.assert_close(cut, torch.diag(torch.tensor([3.0, 0.0]))[None, None])


@pytest.mark.parametrize("write", ["token", "message_mean"])
def test_rows_are_written_as_one_conversation_after_the_other(tiny, write):
    """Side by side with longer conversations, each row ends with the state it has alone, as the chat writes it."""
    torch.manual_seed(0)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, output_init="base_slice", memory_write_granularity=write)
    adapter = new_adapter(tiny.backbone, config).requires_grad_(False)
    rows = [((("My dog is Rex.", "Fine."),),), ((("I live in Rome, in a flat.", "Yes."),), (("Hello", "Hi"),))]
    states = recall.write_turns(tiny, adapter, rows)
    for i, turns in enumerate(rows):
        binding = Binding(adapter)
        for ((user, reply),) in turns:
            asked, answer = tiny.chat.message("user", user), tiny.chat.message("assistant", reply)
            parts = [asked + answer] if write == "token" else [asked, answer]
            past = None
            for part in parts:
                ids = torch.tensor([part])
                binding.message_ids = torch.zeros_like(ids)
                with torch.no_grad(), bind(tiny.backbone, binding):
                    past = tiny.backbone(ids, past_key_values=past, use_cache=True).past_key_values
        for name, state in binding.states.items():
            # The reply's header reads the state before the question's write here, after it there.
            torch.testing.assert_close(states[name][i], state[0], atol=1e-5 if write == "token" else 2e-2, rtol=1e-4)


def test_the_command_writes_its_table(tiny_model_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recall, "vocabulary_words", lambda tokenizer: WORDS)
    code = recall.main(["--model", str(tiny_model_folder), "--adapter", "--cases", "2", "--suites", "long", "not told",
                        "--json", str(tmp_path / "r.json")])  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0 and "| not told |" in out and "base, full history" in out
    assert set(json.loads((tmp_path / "r.json").read_text())["suites"]) == {"1 fact in a long sentence", "not told"}


def test_what_is_missing_is_told_before_anything_is_measured(tiny_model_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(recall, "vocabulary_words", lambda tokenizer: WORDS)
    monkeypatch.setattr(recall, "measure", None)
    command = ["--model", str(tiny_model_folder), "--adapter", "--cases", "2"]
    for wrong, message in (
        (["--suites", "absent"], "there are: 1 fact"),
        (["--passages", str(tmp_path / "none.json")], "none.json"),
    ):
        assert recall.main([*command, *wrong]) == 1
        assert message in capsys.readouterr().err


def test_vocabulary_words_are_single_tokens(demo_model):
    words = vocabulary_words(demo_model.tokenizer)
    assert len(words) > 20_000
    assert all(len(demo_model.chat.text(f" {word}")) == 1 for word in words[::500])
