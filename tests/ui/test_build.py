"""The page as it is built: what it offers to the outside, and the pictures its memory panel asks for."""

from pathlib import Path

import pytest

from deltamem.transcripts import Transcript
from ui.arms import choose
from ui.gallery import gallery
from ui.history import write
from ui.page import EXAMPLES, build_page
from ui.panels.arms import settings_of
from ui.panels.ask import sampling_of
from ui.panels.memory import Maps
from ui.talk import talk


def test_nothing_of_a_page_is_offered_as_an_api(model):
    page = build_page(model)
    config = page.get_config_file()
    assert config["analytics_enabled"] is False
    events = config["dependencies"]
    assert len(events) > 20
    assert {event["api_visibility"] for event in events} == {"private"}
    # All events but the ones that only press a link in the browser go through the queue, which takes no direct calls.
    assert all(event["queue"] or event["js"] for event in events)
    assert not page.api_open


def test_emptied_settings_count_as_they_were_at_first():
    assert sampling_of(None, None, None, None) == {
        "max_new_tokens": 96,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 0,
    }
    assert sampling_of(8.0, 0.5, 0.9, 3.0)["max_new_tokens"] == 8


def test_settings_of_a_column_made_by_hand():
    assert settings_of(True, "none", 5, "TSW", 0.5) == {
        "memory": True,
        "context": "none",
        "adapter": "TSW",
        "strength": 0.5,
    }
    assert settings_of(False, "recent", 5, "TSW", 1) == {"memory": False, "context": "recent", "recent_turns": 5}
    # A strength without a memory is passed on, to be refused with the reason.
    assert settings_of(False, "full", None, None, 2) == {"memory": False, "context": "full", "strength": 2.0}


def test_maps_without_a_memory_are_empty(workspace):
    for _ in choose(workspace, ["base", "base-rag"]):
        pass
    assert workspace.memory is None
    assert Maps(workspace).empty


@pytest.mark.parametrize("example", gallery(EXAMPLES), ids=lambda example: example.name)
def test_examples_can_be_read_and_ask_something(example):
    transcript, probes = example.read()
    assert len(transcript.messages) >= 1
    assert transcript.questions and probes
    assert example.title and len(example.title) < 50 and len(example.about) < 120


def test_maps_follow_the_session(workspace):
    assert Maps(workspace).empty
    for _ in write(workspace, Transcript([{"role": "user", "content": "My dog is called Rex."}], "test")):
        pass
    for _ in talk(workspace, "hello", max_new_tokens=4):
        pass
    maps = Maps(workspace)
    assert not maps.empty
    assert "After the history" in maps.moment(0)
    assert "After turn 1" in maps.moment(1)
    assert 0 <= maps.strongest(1) < 4
    names = [Path(maps.file(which, 1, 2, 0)).name for which in ("atlas", "layer", "gates")]
    assert names == [
        "delta-mem-states-turn-1.png",
        "delta-mem-layer-2-state-turn-1.png",
        "delta-mem-gates-turn-1.png",
    ]
    # A slider may still stand where the last session had more turns or layers.
    assert Path(maps.file("layer", 99, 99, 99, "svg")).read_bytes().startswith(b"<?xml")
