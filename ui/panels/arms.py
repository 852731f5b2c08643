"""Which columns are compared: the named ones as chips, and one made by hand."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from deltamem.compare.arms import PRESETS
from deltamem.runtime.settings import MAX_STRENGTH

from .. import words
from ..arms import SIGHTS
from ..workspace import START, Workspace
from .header import adapter_name


@dataclass
class ArmsPanel:
    chosen: gr.CheckboxGroup
    replay: gr.Checkbox
    cancel: gr.Button
    status: gr.HTML
    memory: gr.Radio
    sight: gr.Radio
    recent: gr.Slider
    adapter: gr.Dropdown
    strength: gr.Slider
    add: gr.Button
    own_status: gr.HTML
    place: gr.Textbox
    fetch: gr.Button

    @property
    def settings(self) -> list:
        """Inputs of a column made by hand, in the order of `arm_of`."""
        return [self.memory, self.sight, self.recent, self.adapter, self.strength]


def arms_panel(model, local: bool) -> ArmsPanel:
    """local: whether visitors may name folders of this machine and hub ids, to read adapters from."""
    with gr.Column(elem_classes="dm-panel", elem_id="arms-panel"):
        with gr.Row(elem_classes="dm-choose"):
            chosen = gr.CheckboxGroup(
                [(arm.title, key) for key, arm in PRESETS.items()],
                value=list(START),
                label="Columns to compare, two to four",
                info="δ-mem: with memory. Retrieval, full history: what stands in the prompt beside the question.",
                elem_id="arms-chosen",
                min_width=300,
            )
            cancel = gr.Button("Cancel", visible=False, size="sm", scale=0, min_width=90, elem_id="arms-cancel")
        status = gr.HTML("", elem_id="arms-status", elem_classes="dm-status")
        with gr.Accordion("Make a column by hand", open=False, elem_id="arms-own"):
            with gr.Row(elem_classes="dm-own"):
                memory = gr.Radio(
                    [("on", True), ("off", False)], value=True, label="Memory", min_width=150, elem_id="own-memory"
                )
                sight = gr.Radio(
                    [(text, key) for key, text in SIGHTS.items()],
                    value="none",
                    label="Its prompt shows",
                    min_width=320,
                    scale=4,
                    elem_id="own-sight",
                )
            with gr.Row(elem_classes="dm-own"):
                adapter = gr.Dropdown(
                    adapters(model),
                    value=model.adapter_name,
                    label="Adapter",
                    info="The trained weights of the memory",
                    min_width=200,
                    elem_id="own-adapter",
                )
                strength = gr.Slider(
                    0,
                    MAX_STRENGTH,
                    1,
                    step=0.05,
                    label="Strength of the memory",
                    info="1: as trained",
                    buttons=[],
                    min_width=200,
                    elem_id="own-strength",
                )
                recent = gr.Slider(
                    1,
                    20,
                    3,
                    step=1,
                    label="Recent turns",
                    info="Shown when the prompt shows recent turns",
                    buttons=[],
                    min_width=200,
                    elem_id="own-recent",
                )
            with gr.Row(elem_classes="dm-buttons"):
                add = gr.Button("Add this column", variant="primary", scale=0, min_width=170, elem_id="own-add")
                place = gr.Textbox(
                    label="Another adapter: folder or hub id",
                    show_label=False,
                    container=False,
                    placeholder="Another adapter: folder or hub id",
                    visible=local,
                    max_length=500,
                    elem_id="own-place",
                    min_width=200,
                )
                fetch = gr.Button("Load adapter", visible=local, scale=0, min_width=150, elem_id="own-fetch")
            own_status = gr.HTML("", elem_id="own-status", elem_classes="dm-status")
        replay = gr.Checkbox(
            True,
            label="Ask a new column the earlier questions too",
            container=False,
            elem_id="arms-replay",
        )
    return ArmsPanel(
        chosen, replay, cancel, status, memory, sight, recent, adapter, strength, add, own_status, place, fetch
    )


def adapters(model) -> list[tuple[str, str]]:
    return [(adapter_name(model, label), label) for label in model.adapters]


def draw(panel: ArmsPanel, workspace: Workspace) -> dict:
    """The chips as the workspace has them."""
    choices = [(arm.title, key) for key, arm in workspace.known.items()]
    return {panel.chosen: gr.CheckboxGroup(choices=choices, value=list(workspace.arms))}


def progress(done: int, total: int) -> str:
    return words.progress_bar("Bringing the new columns up to the others", done, total, unit=None)


def told(before: dict, workspace: Workspace) -> str:
    """What changed, and that nothing is lost."""
    gone = [column for key, column in before.items() if key not in workspace.arms]
    if any(column.chat for column in gone):
        names = ", ".join(f"“{column.arm.title}”" for column in gone)
        return words.note(f"{names} is put aside with its conversation: choose it again to have it back.")
    return ""


def settings_of(memory: bool, sight: str, recent: float, adapter: str | None, strength: float) -> dict:
    """The panel's values as an arm's settings."""
    settings = {"memory": memory, "context": sight}
    if sight == "recent":
        settings["recent_turns"] = int(recent or 1)
    if memory:
        settings |= {"adapter": adapter, "strength": float(1 if strength is None else strength)}
    elif strength not in (None, 1):
        settings["strength"] = float(strength)  # refused, with the reason
    return settings


def label_of(model, place: str) -> str:
    """What an adapter from elsewhere is called: its folder's name, told apart from those there are."""
    name = place.rstrip("/").rsplit("/", 1)[-1][:40] or "adapter"
    label, number = name, 2
    while label in model.adapters:
        label, number = f"{name} {number}", number + 1
    return label
