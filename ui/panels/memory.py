"""The memory in pictures: where one looks (column, step, layer), and a tab for each way of looking."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ..maps import TABS
from .header import step

EMPTY = (
    '<div class="dm-empty dm-tall">Maps of the memory appear here once something is written: '
    "after “Write into memory”, and after every answer.</div>"
)
LABELS = {
    "states": "States",
    "gates": "Gates",
    "change": "Change",
    "size": "Size",
    "tokens": "Tokens",
    "influence": "Influence",
}
WORDS = {
    "states": "The matrix of every layer. Red cells are positive, blue ones negative, pale ones near zero; in dark "
    "mode orange, blue and dark. Click a layer, or choose it above, to see its numbers.",
    "gates": "β is how much of a new value is written into a row of the state, λ how much of the row is kept; means "
    "over the tokens of the step. A row with a high β holds mostly what came last, one with a low β remembers longer.",
    "change": "What differs between two moments, or between two columns: the shown state less the other one.",
    "size": "How much each layer holds after every step, and in how many directions. A state of effective rank 1 "
    "stores one thing, however large it is.",
    "tokens": "What was written: the stronger a token’s colour, the more of it went into the memory. "
    "Point at a token for its β, or open the table. Where messages are written whole, their tokens share one β.",
    "influence": "How far reading the memory moved each layer at each token, as a share of the attention’s own output.",
}
FIGURES = {
    "atlas": ("All layers' states", 4),
    "layer": ("One layer's state with its numbers", 3),
    "gates": ("Gates β and λ by layer and state row", 1),
    "change": ("Change of all layers' states", 4),
    "layer_change": ("Change of one layer's state with its numbers", 3),
    "norms": ("Norm of each layer's state after each step", 1),
    "spectrum": ("Singular values and effective rank of each layer", 1),
    "tokens": ("Text with the gate of each token", 1),
    "influence": ("Influence of the memory by layer and token", 1),
}
KINDS = ("png", "svg", "csv")


@dataclass
class FigurePart:
    """One figure on the page. image: gr.Image, or gr.HTML for marked text. files: kind -> button."""

    image: gr.components.Component
    table: gr.HTML
    files: dict[str, gr.Button]


@dataclass
class MemoryPanel:
    """arm, turn, layer, head, against: what is looked at; tab: which way; look: how figures look, a key of LOOKS.

    pick: where layer and head are chosen, for the tabs that show one layer.
    """

    empty: gr.HTML
    full: gr.Column
    tab: gr.State
    look: gr.Textbox
    arm: gr.Radio
    turn: gr.Slider
    moment: gr.HTML
    pick: gr.Row
    layer: gr.Slider
    head: gr.Radio
    against: gr.Dropdown
    undo: gr.Button
    branch: gr.Button
    tabs: dict[str, gr.Tab]
    notes: dict[str, gr.HTML]
    figures: dict[str, FigurePart]
    file: gr.DownloadButton

    @property
    def place(self) -> list:
        """Inputs that say what is looked at, in the order of maps.Place."""
        return [self.arm, self.turn, self.layer, self.head, self.against]

    @property
    def outputs(self) -> set:
        """Everything that drawing may change."""
        parts = {part for figure in self.figures.values() for part in (figure.image, figure.table)}
        return {self.empty, self.full, self.moment, self.pick, *self.place, *self.notes.values(), *parts}


def memory_panel(model) -> MemoryPanel:
    layers, heads = len(model.adapter.layers), model.adapter.config.num_state_heads
    tabs, notes, figures = {}, {}, {}
    with gr.Column(elem_classes="dm-panel", elem_id="memory-panel"):
        step(None, "Memory", "What δ-mem holds: one small matrix per layer, changed by every token it reads.", "memory")
        empty = gr.HTML(EMPTY, elem_id="memory-empty")
        tab, look = gr.State("states"), gr.Textbox("light", visible="hidden")
        with gr.Column(visible=False, elem_id="memory-full") as full:
            arm = gr.Radio([], label="Column", visible=False, elem_id="memory-arm", elem_classes="dm-pick")
            with gr.Row(elem_classes="dm-turns"):
                turn = gr.Slider(0, 1, 0, step=1, label="Step", elem_id="memory-turn", buttons=[], scale=2)
                moment = gr.HTML("", elem_id="memory-moment")
                with gr.Row(elem_classes="dm-back"):
                    undo = _small("Undo last turn", "memory-undo")
                    branch = _small("Save a branch from here", "memory-branch")
            with gr.Row(elem_classes="dm-turns") as pick:
                layer = gr.Slider(
                    0, max(layers - 1, 1), 0, step=1, label="Layer", buttons=[], elem_id="memory-number", scale=2
                )
                head = gr.Radio(
                    [(str(index + 1), index) for index in range(heads)],
                    value=0,
                    label="State",
                    visible=heads > 1,
                    elem_id="memory-head",
                    elem_classes="dm-pick",
                )
            with gr.Tabs(elem_id="memory-tabs"):
                for name, whiches in TABS.items():
                    with gr.Tab(LABELS[name], id=name, elem_id=f"tab-{name}") as tabs[name]:
                        gr.HTML(f'<div class="dm-faint">{WORDS[name]}</div>')
                        if name == "change":
                            against = gr.Dropdown(
                                [("the step before it", "")],
                                value="",
                                label="Compared with",
                                elem_id="memory-against",
                            )
                        notes[name] = gr.HTML("", elem_id=f"memory-note-{name}")
                        with gr.Row(elem_classes="dm-figures"):
                            for which in whiches:
                                figures[which] = _figure(which)
        file = gr.DownloadButton("File", visible="hidden", elem_id="memory-file")
    return MemoryPanel(
        empty, full, tab, look, arm, turn, moment, pick, layer, head, against, undo, branch, tabs, notes, figures, file
    )


def _figure(which: str) -> FigurePart:
    label, scale = FIGURES[which]
    name = which.replace("_", "-")
    with gr.Column(scale=scale, min_width=300, elem_classes="dm-figure"):
        if which == "tokens":
            image = gr.HTML("", elem_id="memory-tokens")
        else:
            image = gr.Image(
                label=label,
                alt_text=label,
                show_label=False,
                format="png",
                type="filepath",
                interactive=False,
                buttons=["fullscreen"],
                elem_id=f"memory-{name}",
                elem_classes="dm-map",
            )
        with gr.Row(elem_classes="dm-files"):
            files = {kind: _small(kind.upper(), f"{name}-{kind}", f"Download: {label}, {kind}") for kind in KINDS}
        with gr.Accordion("Numbers as a table", open=False, elem_id=f"{name}-numbers", elem_classes="dm-fold"):
            table = gr.HTML("", elem_id=f"{name}-table")
    return FigurePart(image, table, files)


def _small(label: str, elem_id: str, title: str | None = None) -> gr.Button:
    return gr.Button(label, size="sm", scale=0, min_width=0, elem_id=elem_id, elem_classes="dm-small")
