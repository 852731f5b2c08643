"""What handlers answer is what gradio takes: on a fresh page, a used one, one that is gone, and one that breaks."""

import inspect

import gradio as gr
import pytest
from gradio.blocks import convert_component_dict_to_list
from gradio.helpers import skip, special_args

from deltamem.transcripts import Transcript
from ui.history import write
from ui.jobs import Device
from ui.page import build_page
from ui.registry import Registry
from ui.talk import talk
from ui.workspace import Workspace


class Gone(Registry):
    """The page was dropped."""

    def get(self, key):
        return super().get("gone")


class Broken(Registry):
    """Every look at a workspace fails in a way that nobody foresaw."""

    def get(self, key):
        raise RuntimeError("broken")


class Used(Registry):
    """A page where something was written and asked."""

    def open(self, page):
        key = super().open(page)
        workspace = self.get(key)
        workspace.transcript = Transcript([{"role": "user", "content": "My dog is called Rex."}], "test")
        for steps in (write(workspace, workspace.transcript), talk(workspace, "hello", max_new_tokens=3)):
            for _ in steps:
                pass
        return key


@pytest.fixture
def build(model):
    """build(kind of registry) -> (page, key of its open workspace)."""
    registries = []

    def make(kind):
        registry = kind(lambda: Workspace(model, Device(model)))
        registries.append(registry)
        return build_page(model, registry, local=True), registry.open("tab")

    yield make
    for registry in registries:
        registry.close_page("tab")


def answers(event, key):
    """Everything that one event's handler returns or yields when its inputs hold what the page holds at first."""
    given = [key if type(part) is gr.State and part.value is None else _value(part) for part in event.inputs]
    request = gr.Request(session_hash="other tab")
    click = gr.EventData(None, {"index": (0, 0), "value": None})
    given, *_ = special_args(event.fn, given, request=request, event_data=click)
    found = event.fn(*given)
    return list(found) if inspect.isgenerator(found) else [found]


def taken(event, answer) -> list:
    """The answer as gradio spreads it over the outputs; it raises ValueError where they do not fit."""
    outputs = list(event.outputs)
    if answer == skip():
        return [answer] * len(outputs)
    if isinstance(answer, dict) and answer:
        answer = convert_component_dict_to_list(outputs, answer)
    return answer if len(outputs) != 1 else [answer]


@pytest.mark.parametrize("kind", [Registry, Used, Gone, Broken])
def test_every_answer_fits_the_outputs(build, kind):
    page, key = build(kind)
    tried = 0
    for event in reversed(list(page.fns.values())):  # figures first, Reset late
        if event.fn is None or event.api_visibility != "private" or not event.outputs:
            continue
        for answer in answers(event, key):
            assert answer != {}, f"{event.name} answers an empty dict: gradio wants gr.skip()"
            page.validate_outputs(event, taken(event, answer))
            tried += 1
    assert tried > 60


def _value(part):
    """What a component hands to a handler before anybody touched it."""
    if isinstance(part, gr.UploadButton | gr.File):
        return None
    if isinstance(part, gr.Dataframe):
        return [["", ""]]
    return part.value
