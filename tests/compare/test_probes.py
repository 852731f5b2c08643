"""Planted facts, running probes over arms, scores, intervals and tables."""

import csv
import dataclasses
import io
import math

import numpy as np
import pytest

from deltamem.compare.arms import PRESETS, start_session, start_sessions
from deltamem.compare.errors import ArmError, ProbeError
from deltamem.compare.probes import Probe, ProbeResults, plant, run_probes
from deltamem.compare.probes.planted import KINDS
from deltamem.compare.probes.results import interval, score
from deltamem.train.words import is_test_value
from tests.compare.conftest import OTHER

PROBES = [Probe("Who is Rex?", ("a dog", "dog")), Probe("What does he like?", ("the sea",)), Probe("How?", ("fine",))]


# Planted facts


def test_planted_facts_are_told_once_and_asked_for():
    messages, probes = plant(facts=4, distractors=3, distance=2, seed=5)
    said = [message["content"] for message in messages if message["role"] == "user"]
    assert len(probes) == 4 and len(said) == len(messages) / 2 == 4 + 3 + 2
    for probe in probes:
        assert sum(probe.answers[0] in text for text in said) == 1
    last = max(i for i, text in enumerate(said) if any(probe.answers[0] in text for probe in probes))
    assert last <= len(said) - 1 - 2, "the talk comes after the facts"
    assert plant(4, 3, 2, 5) == (messages, probes) != plant(4, 3, 2, 6)
    assert len(plant(16, 16, 0)[1]) == 16 and len(plant(1, 0, 0)[0]) == 2


def test_planted_values_were_never_trained():
    assert all(is_test_value(v) for kind in KINDS for values in kind.values.values() for v in values)


@pytest.mark.parametrize(
    "numbers", [{"facts": 0}, {"facts": 17}, {"distractors": -1}, {"distance": 201}, {"facts": 1.0}]
)
def test_numbers_out_of_range(numbers):
    with pytest.raises(ProbeError, match=f"number of {next(iter(numbers))} is"):
        plant(**numbers)


# Running


@pytest.fixture
def sessions(model, history):
    return start_sessions(model, [PRESETS[key] for key in ("base", "base-full", "memory", "memory-full")], history)


def test_arms_with_the_same_memory_share_its_writing(model, history, sent):
    keys = ("memory", "memory-rag", "base-rag", "base")
    sessions = start_sessions(model, [PRESETS[key] for key in keys], history, progress=lambda *_: None)
    assert len(sent.written) == sessions["memory"].stats()["history_written_tokens"]
    for key in keys:
        assert sessions[key].stats()["context"] == PRESETS[key].context and sessions[key].history == history
        alone = start_session(model, PRESETS[key], history)
        assert sessions[key].ask("Who?", max_new_tokens=4) == alone.ask("Who?", max_new_tokens=4)
    with pytest.raises(ArmError, match="there twice"):
        start_sessions(model, [PRESETS["base"]] * 2, history)


def test_every_probe_is_asked_of_the_session_as_it_stands(sessions):
    before = {key: (session.stats(), len(session.snapshots)) for key, session in sessions.items()}
    expected = {
        key: [session.branch().ask(probe.question, max_new_tokens=6).strip() for probe in PROBES]
        for key, session in sessions.items()
    }
    seen = []
    results = run_probes(sessions, PROBES, {"base": "Base"}, lambda *at: seen.append(at), max_new_tokens=6)
    assert {key: [answer.text for answer in answers] for key, answers in results.answers.items()} == expected
    assert seen == [(1, 3), (2, 3), (3, 3)] and results.complete and results.asked == 3
    assert results.titles == {
        "base": "Base",
        "base-full": "base-full",
        "memory": "memory",
        "memory-full": "memory-full",
    }
    for key, session in sessions.items():
        assert (session.stats(), len(session.snapshots)) == before[key]


def test_the_history_is_put_into_a_kv_once(sessions, sent):
    run_probes({"base-full": sessions["base-full"]}, PROBES, max_new_tokens=2)
    assert sum(before == 0 for _, _, before in sent.passes) == 1


@pytest.mark.parametrize("after", [0, 1, 9, 30])
def test_stopping_keeps_whole_probes_and_leaves_the_sessions(sessions, after):
    before = {key: session.stats() for key, session in sessions.items()}
    calls = iter(range(10_000))
    results = run_probes(sessions, PROBES, should_stop=lambda: next(calls) >= after, max_new_tokens=4)
    assert not results.complete and results.asked < 3
    assert len({len(answers) for answers in results.answers.values()}) == 1
    assert len(results.summary()) == 4 and len(results.table()[1]) == results.asked
    assert before == {key: session.stats() for key, session in sessions.items()}
    assert all(session.ask("Who?", max_new_tokens=2) for session in sessions.values()), "none is left busy"


def test_an_arm_that_cannot_answer_says_why_and_stops_no_other(model, history):
    small = dataclasses.replace(model, max_context=80)
    sessions = {
        "full": start_session(small, PRESETS["base-full"], history),
        "none": start_session(small, PRESETS["memory"], history),
    }
    long = Probe("Who is Rex and " + "what does he like " * 4 + "?", ("sea",))
    results = run_probes(sessions, [PROBES[0], long], max_new_tokens=3)
    fine, failed = results.answers["full"]
    assert fine.text and not fine.error
    assert not failed.text and "takes at most" in failed.error and failed.contains == 0 and failed.mark == "✗"
    assert all(answer.text for answer in results.answers["none"])
    assert "takes at most" in results.table()[1][1][3] and "takes at most" in results.to_csv()


def test_an_error_on_the_way_is_that_arms_alone(sessions):
    loud = sessions["memory"].branch()
    loud.strength = math.nan
    arms = {"base": sessions["base"], "loud": loud, "memory": sessions["memory"]}
    results = run_probes(arms, PROBES[:1], max_new_tokens=3)
    assert "instead of a number" in results.answers["loud"][0].error
    assert results.answers["base"][0].text and results.answers["memory"][0].text


def test_no_arms_or_no_probes(sessions):
    for arms, probes in ((sessions, []), ({}, PROBES)):
        with pytest.raises(ProbeError, match="give at least one of each"):
            run_probes(arms, probes)


def test_control_arms_run_like_any_other(model, history):
    from deltamem.compare.arms import with_control

    arms = [PRESETS["memory"], with_control(PRESETS["memory"], "zero"), with_control(PRESETS["memory"], "other")]
    results = run_probes(start_sessions(model, arms, history, OTHER), PROBES[:1], max_new_tokens=8)
    assert len({answers[0].text for answers in results.answers.values()}) > 1


# Results


def results_of(texts, golds=("Tulip",)):
    probe = Probe("What?", golds)
    answers = [score(text, probe, {"stop": "eos", "prompt_tokens": 9}) for text in texts]
    return ProbeResults({"m": "δ-mem"}, [probe] * len(texts), {"m": answers}, True, {})


def test_scores_and_summary():
    results = results_of(["Tulip.", "Your boat is called Tulip.", "Rose"])
    (row,) = results.summary()
    assert (row["arm"], row["n"]) == ("δ-mem", 3)
    assert row["exact"] == pytest.approx(1 / 3) and row["contains"] == pytest.approx(2 / 3)
    assert row["f1"] == pytest.approx((1 + 2 / 6) / 3)
    assert row["contains_low"] <= row["contains"] <= row["contains_high"]
    assert [line[3] for line in results.table()[1]] == ["✓ Tulip.", "✓ Your boat is called Tulip.", "✗ Rose"]
    assert results.table()[0] == ["#", "Question", "Accepted answers", "δ-mem"]


def test_intervals():
    assert interval([1.0] * 60 + [0.0] * 40) == pytest.approx((0.6, 0.5020, 0.6906), abs=1e-4)  # Wilson's
    assert interval([0.0] * 5) == pytest.approx((0, 0, 0.4345), abs=1e-4), "five misses do not prove that none hits"
    assert interval([1.0] * 5) == pytest.approx((1, 0.5655, 1), abs=1e-4)
    values = [0.9] * 60 + [0.1] * 40  # the bootstrap's
    mean, low, high = interval(values)
    assert mean == pytest.approx(0.58) and (low, high) == pytest.approx((0.58 - 0.0768, 0.58 + 0.0768), abs=0.01)
    assert interval(values) == interval(values) and interval([0.5] * 5) == (0.5, 0.5, 0.5)
    assert all(math.isnan(value) for value in interval([]))


def test_csv_is_safe_for_spreadsheets_and_loses_nothing():
    hostile = ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", " =1", "\t=1", 'a "quoted", one', "two\nlines"]
    results = results_of(hostile, golds=("=1",))
    rows = list(csv.DictReader(io.StringIO(results.to_csv())))
    assert [row["answer"].removeprefix("'") for row in rows] == hostile
    for row in rows:
        for cell in row.values():
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert rows[0]["exact"] == "0" and rows[0]["stop"] == "eos" and rows[0]["prompt_tokens"] == "9"
    summary = list(csv.DictReader(io.StringIO(results.summary_csv())))
    assert summary[0]["n"] == "8" and 0 <= float(summary[0]["contains"]) <= 1
    assert np.isnan(float(next(csv.DictReader(io.StringIO(results_of([]).summary_csv())))["f1"]))
