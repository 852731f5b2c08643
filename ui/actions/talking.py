"""Send, Stop, Retry, Edit and the example questions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import gradio as gr

from .. import words
from ..panels import columns as view
from ..panels.ask import sampling_of
from ..talk import take_back, talk
from .common import MODEL, NOW, Page, Refused, excused, guarded, queued, unheard

FRAME_S = 0.06  # between two updates of the columns: faster than one can read, slower than tokens come on a GPU


def wire(page: Page) -> list:
    """Connect the events; returns those after which the memory has changed."""
    panel, free = page.columns, lambda: view.buttons(page.columns, running=False)

    @guarded(panel.note, free)
    def ask(key, text, *sampling):
        workspace = page.registry.get(key)
        if not text.strip():
            raise Refused("There is no question yet: type one, or choose an example question.")
        with workspace.claim():
            yield from _stream(panel, workspace, text, sampling, {panel.text: ""})
        yield _end(panel, workspace)

    @guarded(panel.note, free)
    def ask_example(key, question, *sampling):
        workspace = page.registry.get(key)
        with workspace.claim():
            yield from _stream(panel, workspace, question, sampling)
        yield _end(panel, workspace)

    @guarded(panel.note, free)
    def retry(key, *sampling):
        workspace = page.registry.get(key)
        with workspace.claim():
            question = take_back(workspace)
            if question is None:
                raise Refused("There is no question to ask again: send one first.")
            yield from _stream(panel, workspace, question, sampling)
        yield _end(panel, workspace)

    @guarded(panel.note)
    def edit(key, text):
        workspace = page.registry.get(key)
        if text.strip():
            raise Refused("The input holds a text that editing would overwrite: send or clear it first.")
        with workspace.claim():
            question = take_back(workspace)
            if question is None:
                raise Refused("There is no question to edit: send one first.")
            note = words.note("The last turn is taken back in every column: change the question and send it.")
            yield {panel.text: question, panel.note: note, **view.draw(panel, workspace)}

    @excused
    def stop(key):
        page.registry.get(key).stop.set()
        return gr.Button(interactive=False)

    @excused
    def give_back(key, text):
        """The question of a failed turn, unless something else was typed meanwhile."""
        workspace = page.registry.get(key)
        return workspace.failed if workspace.failed and not text.strip() else gr.skip()

    outputs, sampling = panel.outputs, page.ask.sampling
    inputs = [page.key, panel.text, *sampling]
    asked = [
        panel.send.click(ask, inputs, outputs, **queued(panel.note)),
        panel.text.submit(ask, inputs, outputs, **queued(panel.note)),
        panel.retry.click(retry, [page.key, *sampling], outputs, **queued(panel.note)),
        *(
            button.click(ask_example, [page.key, button, *sampling], outputs, **queued(panel.note))
            for button in panel.questions
        ),
    ]
    for event in asked:
        event.then(give_back, [page.key, panel.text], panel.text, **NOW)
    panel.stop.click(stop, page.key, panel.stop, **NOW)
    edited = panel.edit.click(edit, [page.key, panel.text], {panel.text, panel.note, *panel.shown}, **MODEL)
    return [*asked, edited]


def _stream(panel, workspace, question, sampling, first: dict | None = None) -> Iterator[dict]:
    """The columns while they answer, at most every FRAME_S; a failed turn leaves them as they were before.

    first: what else the first step draws.
    """
    yield {panel.note: "", **(first or {}), **view.draw(panel, workspace), **view.buttons(panel, running=True)}
    shown = 0.0
    try:
        with closing(talk(workspace, question, **sampling_of(*sampling))) as steps:
            for _ in steps:
                if time.monotonic() - shown >= FRAME_S:
                    yield {panel.note: "", **view.draw(panel, workspace, running=True)}
                    shown = time.monotonic()
    except Exception:
        yield view.draw(panel, workspace)
        raise


def _end(panel, workspace) -> dict:
    """The finished turn, with the buttons free again: sent when the page is free, so that no click comes too early."""
    stopped = workspace.stop.is_set()
    said = "Stopped: what was said until then is kept." if stopped else unheard(workspace)
    note = words.note(said, "info" if stopped else "warn")
    return {panel.note: note, **view.draw(panel, workspace), **view.buttons(panel, running=False)}
