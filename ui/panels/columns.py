"""The answers: one column per arm, four built and as many shown as are compared, one input under all of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import zip_longest

import gradio as gr

from deltamem.compare.controls import CONTROLS

from .. import words
from ..workspace import MOST, START, Column, Workspace

QUESTIONS = 6
CHAT_HEIGHT = 380
WAITING, NOTHING = "…", "(no answer)"
COPY = """() => {
  const said = document.querySelectorAll('#chat-%d [data-testid=bot]');
  const answer = said.length ? said[said.length - 1].cloneNode(true) : document.createElement('div');
  answer.querySelectorAll('.dm-tag').forEach(tag => tag.remove());
  const text = answer.textContent.trim();
  const area = Object.assign(document.createElement('textarea'), {value: text});
  document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
}"""


@dataclass
class Slot:
    """The components of one column."""

    box: gr.Column
    head: gr.HTML
    chat: gr.Chatbot
    cost: gr.HTML
    passages: gr.HTML
    control: gr.Radio
    copy: gr.Button
    note: gr.HTML


@dataclass
class Columns:
    slots: list[Slot]
    note: gr.HTML
    text: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    edit: gr.Button
    questions: list[gr.Button]

    @property
    def shown(self) -> set:
        """What `draw` draws."""
        return {part for slot in self.slots for part in (slot.chat, slot.cost, slot.passages)}

    @property
    def everything(self) -> set:
        """What `draw_all` draws."""
        return {part for slot in self.slots for part in parts(slot)}

    @property
    def outputs(self) -> set:
        return {*self.shown, self.note, self.text, self.send, self.stop, self.retry, self.edit}


def columns(workspace: Workspace) -> Columns:
    """workspace: a fresh one, whose columns are shown at first."""
    first = list(workspace.arms.values())
    with gr.Row(elem_id="dm-arms"):
        slots = [_slot(index, first[index] if index < len(START) else None) for index in range(MOST)]
    with gr.Column(elem_id="dm-ask"):
        with gr.Row(elem_classes="dm-input"):
            text = gr.Textbox(
                label="Question for all columns",
                show_label=False,
                container=False,
                placeholder="Ask all columns…",
                lines=1,
                max_lines=6,
                max_length=200_000,
                scale=6,
                elem_id="ask-text",
            )
            # Send waits until the page has its workspace.
            send = gr.Button("Send", variant="primary", interactive=False, elem_id="ask-send", scale=1, min_width=70)
            stop = gr.Button("Stop", interactive=False, elem_id="ask-stop", scale=1, min_width=70)
            retry = gr.Button("Retry all", elem_id="ask-retry", scale=1, min_width=84)
            edit = gr.Button("Edit last", elem_id="ask-edit", scale=1, min_width=84)
        with gr.Row(elem_classes="dm-chipsrow", elem_id="ask-questions"):
            questions = [
                gr.Button("", size="sm", visible=False, elem_id=f"question-{index}", min_width=0)
                for index in range(QUESTIONS)
            ]
        note = gr.HTML("", elem_id="ask-note", elem_classes="dm-status")
    return Columns(slots, note, text, send, stop, retry, edit, questions)


def _slot(index: int, column: Column | None) -> Slot:
    with gr.Column(elem_classes="dm-arm", min_width=220, visible=column is not None, elem_id=f"arm-{index}") as box:
        head = gr.HTML(column and _head(column), elem_id=f"head-{index}", elem_classes="dm-row1")
        chat = gr.Chatbot(
            label=f"Answers of column {index + 1}",
            show_label=False,
            height=CHAT_HEIGHT,
            layout="bubble",
            placeholder=column and words.empty(column.arm),
            render_markdown=False,
            latex_delimiters=[],
            allow_tags=False,
            allow_file_downloads=False,
            feedback_options=None,
            buttons=[],
            elem_id=f"chat-{index}",
            elem_classes="dm-row2",
        )
        cost = gr.HTML(words.cost_line(None), elem_id=f"cost-{index}", elem_classes="dm-row3")
        passages = gr.HTML("", elem_id=f"passages-{index}", elem_classes="dm-row4")
        with gr.Column(elem_classes="dm-row5", min_width=0):
            copy = gr.Button("Copy answer", size="sm", min_width=0, scale=0, elem_id=f"copy-{index}")
            control = gr.Radio(
                [("Real state", ""), *((control.title, name) for name, control in CONTROLS.items())],
                value="",
                label="Is it really the memory?",
                info="Spoil its state and ask again:",
                visible=column is not None and column.arm.memory,
                elem_id=f"control-{index}",
                elem_classes="dm-control",
            )
            note = gr.HTML("", elem_id=f"column-note-{index}", elem_classes="dm-status")
    copy.click(None, js=COPY % index, api_visibility="private")
    return Slot(box, head, chat, cost, passages, control, copy, note)


def _head(column: Column) -> str:
    arm, off = column.arm, column.control is not None
    warning = f'<span class="dm-chip dm-loud" role="status">Control: {escape(column.warning)}</span>' if off else ""
    side = "dm-armhead dm-on" if arm.memory else "dm-armhead"
    adapter = (f"adapter {column.session.adapter}",) if arm.memory and not arm.adapter else ()
    chips = words.chips((*arm.chips, *adapter), arm.memory)
    return f'<div class="{side}"><h2>{escape(arm.title)}</h2>{chips}{warning}</div>'


def draw(panel: Columns, workspace: Workspace, running: bool = False) -> dict:
    """Chats and cost lines as the workspace has them; those of hidden columns are empty.

    Every step of an event gives all of them: Gradio makes a component anew for each that a step leaves out, and keeps
    one more for the session each time that a value follows.
    """
    drawn = {}
    for slot, column in zip_longest(panel.slots, workspace.arms.values()):
        drawn[slot.chat] = _messages(column, running) if column else []
        drawn[slot.cost] = _cost(column) if column else ""
        drawn[slot.passages] = words.passages((column.stats or {}).get("passages")) if column else ""
    return drawn


def draw_slot(panel: Columns, index: int, column: Column) -> dict:
    """One column with its head and its controls."""
    slot = panel.slots[index]
    return {
        slot.box: gr.Column(visible=True),
        slot.head: _head(column),
        slot.chat: gr.Chatbot(value=_messages(column, False), placeholder=words.empty(column.arm)),
        slot.cost: _cost(column),
        slot.passages: words.passages((column.stats or {}).get("passages")),
        slot.control: gr.Radio(visible=column.arm.memory, value=column.control.name if column.control else ""),
        slot.note: "",
    }


def draw_all(panel: Columns, workspace: Workspace) -> dict:
    """Every column; those that are not used are hidden."""
    drawn = {slot.box: gr.Column(visible=False) for slot in panel.slots}
    for index, column in enumerate(workspace.arms.values()):
        drawn |= draw_slot(panel, index, column)
    return drawn


def parts(slot: Slot) -> set:
    """What `draw_slot` draws."""
    return {slot.box, slot.head, slot.chat, slot.cost, slot.passages, slot.control, slot.note}


def buttons(panel: Columns, running: bool) -> dict:
    """Send, Retry and Edit when idle, Stop when an answer is on its way."""
    return {
        panel.send: gr.Button(interactive=not running),
        panel.stop: gr.Button(interactive=running),
        panel.retry: gr.Button(interactive=not running),
        panel.edit: gr.Button(interactive=not running),
    }


def draw_questions(panel: Columns, questions: list[str]) -> dict:
    """Example questions as buttons."""
    shown = [*questions[: len(panel.questions)], *[""] * len(panel.questions)]
    return {
        button: gr.Button(value=question, visible=bool(question))
        for button, question in zip(panel.questions, shown, strict=False)
    }


def _cost(column: Column) -> str:
    return words.note(column.failure, "warn") if column.failure else words.cost_line(column.stats)


def _messages(column: Column, running: bool) -> list[dict]:
    """A chat's messages for the component, which shows HTML even with Markdown off: escaped, all is seen as it is."""
    drawn = []
    for number, message in enumerate(column.chat, 1):
        growing = running and number == len(column.chat) and column.failure is None
        text = escape(message["content"] or (WAITING if growing else NOTHING), quote=False)
        if tag := message.get("tag"):
            text = f'<span class="dm-tag">{escape(tag)}</span>{text}'
        drawn.append({"role": message["role"], "content": text})
    return drawn
