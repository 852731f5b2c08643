"""Saving, loading and resetting a session."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from .. import words
from ..bundle import load_page, save_page
from ..history import count_tokens
from ..panels import arms as arms_view
from ..panels import columns as columns_view
from ..panels import history as history_view
from .common import MODEL, READ, Page, guarded, remove
from .remembering import written_line

FILE = "delta-mem-session.zip"
# The button gets its file with this event's answer; its link is there a moment later.
PRESS = "() => setTimeout(() => document.querySelector('#%s')?.click(), 120)"


def wire(page: Page) -> list:
    """Connect the events; returns those after which the memory has changed."""
    panel, columns, history = page.session, page.columns, page.history

    @guarded(panel.status)
    def save(key):
        yield {panel.file: gr.DownloadButton(value=None)}  # what fails now must not deliver an older file
        workspace = page.registry.get(key)
        with workspace.claim():
            path = workspace.folder / FILE
            save_page(workspace, path)
            kept = words.many(len(workspace.turns), "turn")
            size = words.size(path.stat().st_size)
            yield {
                panel.file: gr.DownloadButton(value=str(path)),
                panel.status: words.note(f"Saved {kept} and the memory as {FILE}, {size}.", "good"),
            }

    @guarded(panel.status)
    def load(key, path):
        try:
            workspace = page.registry.get(key)
            with workspace.claim():
                yield {panel.status: words.note("Reading the file…")}
                notes = load_page(workspace, Path(path))
            yield from _show(page, workspace, notes)
        finally:
            remove(path)

    @guarded(panel.status)
    def reset(key):
        workspace = page.registry.get(key)
        with workspace.claim():
            workspace.reset()
        ready = workspace.transcript is not None
        yield {
            panel.status: words.note("All columns and their memories are empty.", "good"),
            history.status: words.note("Not in the memory: press “Write into memory”.") if ready else "",
            history.write: gr.Button(interactive=ready),
            columns.note: "",
            **columns_view.draw_all(columns, workspace),
        }

    saved = panel.save.click(save, page.key, {panel.status, panel.file}, **READ)
    saved.success(None, js=PRESS % panel.file.elem_id, api_visibility="private")
    told = {panel.status, columns.note, history.status, history.write}
    shown = {history.summary, history.preview, page.arms.chosen, *columns.questions, *columns.everything}
    return [
        panel.load.upload(load, [page.key, panel.load], told | shown, **MODEL),
        panel.reset.click(reset, page.key, told | columns.everything, **MODEL),
    ]


def _show(page: Page, workspace, notes: list[str]):
    turns = words.many(len(workspace.turns), "turn")
    yield {
        page.session.status: words.note(" ".join([f"Loaded: {turns} and the memory.", *notes]), "good"),
        page.columns.note: "",
        page.history.status: written_line(workspace) if workspace.histories else "",
        **arms_view.draw(page.arms, workspace),
        **columns_view.draw_all(page.columns, workspace),
    }
    if workspace.transcript is None:
        yield {
            page.history.summary: "",
            page.history.preview: history_view.EMPTY,
            page.history.write: gr.Button(interactive=False),
        }
        return
    for _ in count_tokens(workspace, workspace.transcript):
        pass
    yield {
        **history_view.draw(page.history, "Saved session", workspace.transcript, workspace.token_counts, False),
        **columns_view.draw_questions(page.columns, workspace.transcript.questions),
    }
