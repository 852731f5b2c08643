"""Asking before the transcript was written: the answers come, and a sentence says what they lack."""

from deltamem.transcripts import Transcript
from ui.actions.common import unheard
from ui.jobs import Device
from ui.page import build_page
from ui.registry import Registry
from ui.workspace import Workspace


def test_answers_without_the_transcript_say_so(model):
    registry = Registry(lambda: Workspace(model, Device(model)))
    page, key = build_page(model, registry), registry.open("tab")
    ask = next(event for event in page.fns.values() if event.name == "ask")
    part = next(part for part in ask.outputs if part.elem_id == "ask-note")

    def last():
        return list(ask.fn(key, "hello", 2, 0, 1, 0))[-1][part]

    assert last() == ""
    workspace = registry.get(key)
    workspace.transcript = Transcript([{"role": "user", "content": "My dog is called Rex."}], "test")
    assert "dm-warn" in last() and "not written yet" in last()
    workspace.steps.append(workspace.transcript)
    assert unheard(workspace) == ""
    registry.close_page("tab")
