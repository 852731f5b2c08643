"""Integrity findings: green on a sound memory, loud for each way it can go wrong."""

import dataclasses

import numpy as np
import pytest
import torch

from deltamem.compare import controls, integrity
from deltamem.compare.arms import PRESETS, parse_arm, start_session
from deltamem.compare.integrity import check_model, check_turn
from deltamem.core.attach import empty_adapter
from deltamem.core.config import HFDeltaMemConfig
from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError


def line(findings, label):
    return next(one for one in findings.lines if one.label == label)


@pytest.mark.parametrize("label", ["TSW", "MSW", "SSW"])
def test_a_sound_memory_is_green(model, label):
    findings = check_model(model, label)
    assert findings.ok and not findings.wrong, findings.lines
    assert line(findings, "Backend").value == "sdpa attention, float32 on cpu"
    assert line(findings, "Adapter").value.startswith(f"{label}, 4 layers, weights ")
    assert "finite and not zero in 4 layers" in line(findings, "State").value
    assert "at most 0.001 allowed" in line(findings, "Chunks write like one pass").value


def test_without_an_adapter_there_is_nothing_to_check(model):
    findings = check_model(dataclasses.replace(model, adapters={}, adapter_name=None))
    assert findings.ok and "without an adapter" in line(findings, "Memory").value
    with pytest.raises(SessionError, match="no adapter 'XSW'"):
        check_model(model, "XSW")


def test_chunks_that_write_otherwise_are_found(model, monkeypatch):
    """As in the public reference code, whose later chunks silently do not write."""
    real = integrity.Binding

    class Forgets(real):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "states" and value and any(state.any() for state in value.values()):
                super().__setattr__("write", False)

    monkeypatch.setattr(integrity, "Binding", Forgets)
    findings = check_model(model)
    assert not findings.ok and [one.label for one in findings.wrong] == ["Chunks write like one pass"]


def test_padding_that_writes_is_found(model, monkeypatch):
    monkeypatch.setattr("deltamem.core.hooks.valid_tokens", lambda *_: None)
    findings = check_model(model)
    assert [one.label for one in findings.wrong] == ["Padding writes nothing"]


def test_states_that_are_no_numbers_or_zero_are_found(model):
    adapter = empty_adapter(model.backbone, HFDeltaMemConfig(rank=4))
    dead = dataclasses.replace(model, adapters={"dead": adapter}, adapter_name="dead")
    findings = check_model(dead)
    assert "zero in layer 0, 1, 2, 3 although something was written" in line(findings, "State").value
    with torch.no_grad():
        list(adapter.layers.values())[2].memory_v_proj.fill_(torch.nan)
    findings = check_model(dead)
    assert "not finite in layer 2" in line(findings, "State").value and not findings.ok
    assert not line(findings, "Chunks write like one pass").ok


@pytest.mark.parametrize("arm", [*PRESETS, "memory:adapter=SSW", "memory-full:adapter=MSW", "memory:control=frozen",
                                 "memory:control=zero", "memory:control=shuffled", "memory:layers-off=0"])  # fmt: skip
def test_every_arm_is_green_after_history_and_turns(model, history, arm):
    session = start_session(model, parse_arm(arm), history)
    assert check_turn(session).ok
    assert all(one.label != "Sent" for one in check_turn(session).lines), "nothing was asked yet"
    for _ in range(2):
        session.ask("Who is Rex?", max_new_tokens=3)
        findings = check_turn(session)
        assert findings.ok, findings.wrong
    last = session.stats()["last"]
    assert f"{last['prompt_tokens']:,} tokens in the prompt" in line(findings, "Sent").value
    if arm == "memory":
        assert line(findings, "Layers wrote").value == (
            f"{last['written_tokens']} tokens each for {last['written_tokens']} tokens of the last turn"
        )
        assert "none of them from the past" in line(findings, "Sent").value
    if arm == "memory:control=frozen":
        assert line(findings, "Written").value == "nothing in this step: the writes are frozen"


def test_an_empty_session_is_fine(model):
    for memory in (True, False):
        assert check_turn(Session(model, memory=memory)).ok


def test_what_was_computed_again_is_told(model, history):
    session = start_session(model, PRESETS["base-full"], history)
    session.ask("Who?", max_new_tokens=2)
    assert "tokens of the past were computed again" in line(check_turn(session), "Rebuilt").value
    session.ask("Who?", max_new_tokens=2)
    assert line(check_turn(session), "Rebuilt").value == "nothing"


def test_a_zero_state_after_zeroing_is_no_fault_and_after_writing_is_one(model, history):
    session = start_session(model, PRESETS["memory"], history)
    controls.apply(session, "zero")
    assert check_turn(session).ok and line(check_turn(session), "State").value == "zero, and nothing was written since"
    session.undo()
    session._steps[-1] = dataclasses.replace(session._steps[-1], snapshot=dataclasses.replace(
        session.snapshots[-1], states=np.zeros_like(session.snapshots[-1].states)
    ))  # fmt: skip
    assert not check_turn(session).ok and "although something was written" in check_turn(session).wrong[0].value


@pytest.mark.parametrize(
    ("stats", "label"),
    [
        ({"layer_writes": [0, 9]}, "Layers wrote"),
        ({"layer_writes": [3, 3]}, "Layers wrote"),
        ({"history_tokens": 5}, "Sent"),
        ({"written_tokens": 0, "layer_writes": [0, 0]}, "Layers wrote"),
    ],
)
def test_counts_that_do_not_add_up_are_loud(model, stats, label):
    session = Session(model)
    session.ask("Who?", max_new_tokens=2)
    assert check_turn(session).ok
    session._steps[-1].stats.update(stats)
    assert [one.label for one in check_turn(session).wrong] == [label]


def test_a_layer_that_wrote_nothing_is_named(model):
    session = Session(model)
    session.ask("Who?", max_new_tokens=2)
    session.snapshots[-1].beta[2] = np.nan
    assert "but layer 2 wrote none" in check_turn(session).wrong[0].value


def test_states_that_are_no_numbers_are_loud(model):
    session = Session(model)
    session.ask("Who?", max_new_tokens=2)
    session.snapshots[-1].states[1, 0, 2, 3] = np.inf
    assert check_turn(session).wrong[0].value == "not finite in layer 1"


def test_findings_are_plain():
    findings = integrity.Findings()
    assert findings.ok
    findings.add("a", "b")
    findings.add("c", "d", False)
    assert not findings.ok and findings.wrong == [integrity.Finding("c", "d", False)]
