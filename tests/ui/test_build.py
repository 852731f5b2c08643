"""The page as it is built: what it offers to the outside, and what its settings mean."""

import gradio as gr
import pytest

from ui.actions.calling import CALLS
from ui.gallery import gallery
from ui.page import EXAMPLES, build_page
from ui.panels.arms import settings_of
from ui.panels.ask import sampling_of


def test_only_stateless_functions_are_offered_as_an_api(model):
    page = build_page(model)
    config = page.get_config_file()
    assert config["analytics_enabled"] is False
    events = config["dependencies"]
    assert len(events) > 20
    public = [event for event in events if event["api_visibility"] != "private"]
    assert [event["api_name"] for event in public] == list(CALLS)
    # All events but the ones that only press a link in the browser go through the queue, which takes no direct calls.
    assert all(event["queue"] or event["js"] for event in events)
    assert not page.api_open


def test_no_button_is_dead(model):
    page = build_page(model, local=True)
    live = {target for event in page.fns.values() for target, _ in event.targets}
    buttons = (gr.Button, gr.UploadButton)
    dead = [part.elem_id for part in page.blocks.values() if isinstance(part, buttons) and part._id not in live]
    assert dead == []


@pytest.mark.parametrize(
    ("button", "note"),
    [("ask-send", "ask-note"), ("history-write", "history-status"), ("arms-chosen", "arms-status")],
)
def test_whoever_waits_is_told_their_place(model, button, note):
    """What may wait for other visitors shows its place in Gradio's queue, where its sentences stand."""
    config = build_page(model).get_config_file()
    ids = {one["props"].get("elem_id"): one["id"] for one in config["components"]}
    event = next(one for one in config["dependencies"] if any(place == ids[button] for place, _ in one["targets"]))
    assert (event["show_progress"], event["show_progress_on"]) == ("minimal", [ids[note]])


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


@pytest.mark.parametrize("example", gallery(EXAMPLES), ids=lambda example: example.name)
def test_examples_can_be_read_and_ask_something(example):
    transcript, probes = example.read()
    assert len(transcript.messages) >= 1
    assert transcript.questions and probes
    assert example.title and len(example.title) < 50 and len(example.about) < 120
