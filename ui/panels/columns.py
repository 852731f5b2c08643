"""The answers: one column per arm, one input under all of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import gradio as gr

from .. import words
from ..workspace import ARMS, Workspace

QUESTIONS = 4
CHAT_HEIGHT = 400
WAITING, NOTHING = "…", "(no answer)"


@dataclass
class Columns:
    chats: dict[str, gr.Chatbot]
    costs: dict[str, gr.HTML]
    note: gr.HTML
    text: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    questions: list[gr.Button]

    @property
    def outputs(self) -> set:
        return {*self.chats.values(), *self.costs.values(), self.note, self.text, self.send, self.stop, self.retry}


def columns() -> Columns:
    chats, costs = {}, {}
    with gr.Row(elem_id="dm-arms", equal_height=True):
        for kind in ARMS:
            with gr.Column(elem_classes="dm-arm dm-arm-on" if kind.memory else "dm-arm", min_width=280):
                chips = words.chips(kind.chips, kind.memory)
                gr.HTML(f'<div class="dm-armhead"><h2>{escape(kind.title)}</h2>{chips}</div>')
                chats[kind.key] = gr.Chatbot(
                    label=f"Answers of {kind.title}",
                    show_label=False,
                    height=CHAT_HEIGHT,
                    layout="bubble",
                    placeholder=kind.empty,
                    render_markdown=False,
                    latex_delimiters=[],
                    allow_tags=False,
                    allow_file_downloads=False,
                    feedback_options=None,
                    buttons=[],
                    elem_id=f"chat-{kind.key}",
                )
                costs[kind.key] = gr.HTML(words.cost_line(None), elem_id=f"cost-{kind.key}")
    with gr.Column(elem_id="dm-ask"):
        with gr.Row(elem_classes="dm-input"):
            text = gr.Textbox(
                label="Question for both columns",
                show_label=False,
                container=False,
                placeholder="Ask both columns…",
                lines=1,
                max_lines=6,
                max_length=200_000,
                scale=6,
                elem_id="ask-text",
            )
            # Send waits until the page has its workspace.
            send = gr.Button("Send", variant="primary", interactive=False, elem_id="ask-send", scale=1, min_width=76)
            stop = gr.Button("Stop", interactive=False, elem_id="ask-stop", scale=1, min_width=76)
            retry = gr.Button("Retry", elem_id="ask-retry", scale=1, min_width=76)
        with gr.Row(elem_classes="dm-chipsrow", elem_id="ask-questions"):
            questions = [
                gr.Button("", size="sm", visible=False, elem_id=f"question-{index}", min_width=0)
                for index in range(QUESTIONS)
            ]
        note = gr.HTML("", elem_id="ask-note", elem_classes="dm-status")
    return Columns(chats, costs, note, text, send, stop, retry, questions)


def draw(panel: Columns, workspace: Workspace, running: bool = False) -> dict:
    """Chats and cost lines as the workspace has them."""
    shown = {}
    for key, arm in workspace.arms.items():
        empty = WAITING if running else NOTHING
        # The chat shows HTML even with Markdown off: escaped, every text is seen as it is.
        shown[panel.chats[key]] = [
            {"role": message["role"], "content": escape(message["content"] or empty, quote=False)}
            for message in arm.chat
        ]
        shown[panel.costs[key]] = words.cost_line(arm.stats)
    return shown


def buttons(panel: Columns, running: bool) -> dict:
    """Send and Retry when idle, Stop when an answer is on its way."""
    return {
        panel.send: gr.Button(interactive=not running),
        panel.stop: gr.Button(interactive=running),
        panel.retry: gr.Button(interactive=not running),
    }


def draw_questions(panel: Columns, questions: list[str]) -> dict:
    """Example questions as buttons."""
    shown = [*questions[: len(panel.questions)], *[""] * len(panel.questions)]
    return {
        button: gr.Button(value=question, visible=bool(question))
        for button, question in zip(panel.questions, shown, strict=False)
    }
