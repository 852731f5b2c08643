"""Negative controls: on with one click, off with one click."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import gradio as gr

from deltamem.compare.arms import parse_layers
from deltamem.compare.controls import CONTROLS
from deltamem.transcripts import read_transcript

from .. import words
from ..background import Stopped
from ..control import put_on
from ..gallery import Example
from ..panels import columns as view
from ..panels.ask import OWN
from .common import MODEL, READ, Page, Refused, guarded, other_messages, remove
from .remembering import bars


def wire(page: Page, examples: list[Example]) -> list:
    """Connect the events; returns those after which a memory has changed."""
    panel, ask = page.columns, page.ask

    def turn(index: int):
        slot = panel.slots[index]

        @guarded(slot.note)
        def run(key, name, other, layers):
            workspace = page.registry.get(key)
            column = list(workspace.arms.values())[index]
            before = column.control.name if column.control else ""
            try:
                with workspace.claim():
                    messages = other_messages(workspace, other, examples) if name == "other" else None
                    numbers = layers_of(layers) if name == "layers-off" else ()
                    with closing(put_on(workspace, column, name, messages, numbers)) as steps:
                        for bar in bars("Writing the other transcript", steps):
                            yield {slot.note: bar}
                yield {**view.draw_slot(panel, index, column), slot.note: words.note(said(column))}
            except Stopped:
                yield {slot.note: words.note("Cancelled: the state is as it was."), slot.control: before}
            except Exception:
                yield {slot.control: before}
                raise

        inputs = [page.key, slot.control, ask.other, ask.layers]
        return slot.control.input(run, inputs, {slot.note, *view.parts(slot)}, **MODEL)

    @guarded(ask.status)
    def upload(key, path):
        try:
            workspace = page.registry.get(key)
            workspace.other, name = read_transcript(path), Path(path).name
            workspace.other.name = name
            yield {
                ask.status: words.note(f"The control “another transcript's state” now uses {name}.", "good"),
                ask.other: gr.Dropdown(choices=[*ask.other.choices, (name, OWN)], value=OWN),
            }
        finally:
            remove(path)

    ask.other_file.upload(upload, [page.key, ask.other_file], {ask.status, ask.other}, **READ)
    return [turn(index) for index in range(len(panel.slots))]


def layers_of(text: str) -> tuple[int, ...]:
    """The layers that a field names. Raises Refused."""
    try:
        return parse_layers(text)
    except (ValueError, AttributeError):
        raise Refused(f"“{text[:40]}” names no layers: give numbers and ranges such as 0-3, 7 in step 2.") from None


def said(column) -> str:
    """What a column tells of its control."""
    if column.control:
        return f"{CONTROLS[column.control.name].reads} Ask, or press “Retry all”."
    return "The real state again. What was said under a control stays shown and is not in the memory."
