"""Two columns' last answers, word by word."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import gradio as gr

from .. import words
from ..difference import difference
from ..workspace import Column, Workspace
from .header import step

NOTHING = '<div class="dm-empty dm-tall">The last answers of two columns appear here, what only one says marked.</div>'


@dataclass
class DifferencePanel:
    left: gr.Dropdown
    right: gr.Dropdown
    shown: gr.HTML

    @property
    def outputs(self) -> set:
        return {self.left, self.right, self.shown}


def difference_panel(workspace: Workspace) -> DifferencePanel:
    """workspace: a fresh one, whose columns can be chosen at first."""
    choices = _choices(workspace)
    with gr.Column(elem_classes="dm-panel", elem_id="difference-panel"):
        step(None, "Difference", "The last answers of two columns, word by word.", "difference-title")
        with gr.Row():
            left = gr.Dropdown(choices, value=choices[0][1], label="This column", elem_id="difference-left")
            right = gr.Dropdown(choices, value=choices[1][1], label="and that one", elem_id="difference-right")
        shown = gr.HTML(NOTHING, elem_id="difference-shown")
    return DifferencePanel(left, right, shown)


def draw(panel: DifferencePanel, workspace: Workspace, left: str | None, right: str | None) -> dict:
    """The difference of two columns; one that is no longer shown gives way to the first or the last."""
    keys = list(workspace.arms)
    left = left if left in keys else keys[0]
    right = right if right in keys and right != left else next(key for key in reversed(keys) if key != left)
    choices = _choices(workspace)
    return {
        panel.left: gr.Dropdown(choices=choices, value=left),
        panel.right: gr.Dropdown(choices=choices, value=right),
        panel.shown: _sides(workspace.arms[left], workspace.arms[right]),
    }


def _sides(left: Column, right: Column) -> str:
    answers = [column.chat[-1]["content"] if column.chat else "" for column in (left, right)]
    if not all(answers):
        return NOTHING
    found = difference(*answers)
    counts = " and ".join(words.many(count, "word") for count in found.counts)
    sides = "".join(
        f'<section class="dm-side"><h3>{escape(column.now.title)}</h3><p>{text}</p></section>'
        for column, text in ((left, found.left), (right, found.right))
    )
    same = f"{words.many(found.shared, 'word')} shared, of {counts}."
    same = "The answers are the same." if answers[0] == answers[1] else same
    return f'<p class="dm-faint">{same}</p><div class="dm-sides">{sides}</div>'


def _choices(workspace: Workspace) -> list[tuple[str, str]]:
    return [(column.now.title, key) for key, column in workspace.arms.items()]
