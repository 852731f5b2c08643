"""Step 1: a transcript goes in, is shown as it was understood, and is written into the memory."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from deltamem.transcripts import EXTENSIONS, MAX_BYTES, Transcript

from .. import words
from ..gallery import Example
from .header import step

EMPTY = '<div class="dm-empty">What was read appears here: who speaks, the text, and how many tokens it takes.</div>'


FORMATS = f"{', '.join(EXTENSIONS)}, from OpenAI, ShareGPT or ChatGPT; up to {MAX_BYTES >> 20} MB."


@dataclass
class HistoryPanel:
    file: gr.File
    examples: list[tuple[gr.Button, Example]]
    summary: gr.HTML
    preview: gr.HTML
    write: gr.Button
    cancel: gr.Button
    status: gr.HTML


def history_panel(examples: list[Example]) -> HistoryPanel:
    """examples: transcripts that are offered, each with a line on what it shows."""
    with gr.Column(elem_classes="dm-panel", elem_id="history-panel"):
        step(
            1,
            "History",
            "An earlier conversation, for the columns to know. Choose an example or drop a file.",
            "history-title",
        )
        file = gr.File(
            label="Transcript",
            show_label=False,
            height=112,
            elem_id="history-file",
            elem_classes="dm-drop",
        )
        gr.HTML(f'<div class="dm-faint">{FORMATS}</div>')
        gr.HTML('<h3 class="dm-sub">Examples</h3>')
        with gr.Column(elem_classes="dm-gallery"):
            buttons = [
                (gr.Button(f"{one.title}\n{one.about}".strip(), size="sm", elem_id=f"example-{one.name}"), one)
                for one in examples
            ]
        summary = gr.HTML("", elem_id="history-summary")
        preview = gr.HTML(EMPTY, elem_id="history-preview")
        with gr.Row(elem_classes="dm-buttons"):
            write = gr.Button(
                "Write into memory", variant="primary", interactive=False, elem_id="history-write", scale=3, min_width=0
            )
            cancel = gr.Button("Cancel", interactive=False, elem_id="history-cancel", scale=1, min_width=0)
        status = gr.HTML("", elem_id="history-status", elem_classes="dm-status")
    return HistoryPanel(file, buttons, summary, preview, write, cancel, status)


def draw(panel: HistoryPanel, name: str, transcript: Transcript, counts: list[int], unwritten: bool) -> dict:
    """The preview of a transcript; while counts are fewer than messages, tokens are still being counted."""
    messages = transcript.messages
    if len(counts) < len(messages):
        tokens = f"counting tokens, {len(counts):,} messages done"
    else:
        tokens = words.many(sum(counts), "token")
    sentence = f"{name}: {words.many(len(messages), 'message')}, {tokens}. Read as {transcript.format}."
    notes = "".join(words.note(note) for note in transcript.notes)
    return {
        panel.summary: words.note(sentence, "good") + notes,
        panel.preview: words.preview_table(messages, counts),
        panel.write: gr.Button(interactive=unwritten and len(counts) == len(messages)),
    }
