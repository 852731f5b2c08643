"""The memory in pictures: a slider over the turns, the states of all layers, one of them with numbers, the gates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np

from deltamem.compare.figures import (
    AtlasLayout,
    Source,
    gate_map,
    layer_states,
    png,
    state_limit,
    states_atlas,
    svg,
    when,
)

from .. import words
from ..workspace import Workspace
from .header import adapter_name, step

EMPTY = (
    '<div class="dm-empty dm-tall">Maps of the memory appear here once something is written: '
    "after “Write into memory”, and after every answer.</div>"
)
GATES = (
    '<div class="dm-faint"><p><b>β</b> is how much of a new value is written into a row of the state, <b>λ</b> how '
    "much of the row is kept.</p><p>Both are means over the tokens of the step: a row with a high β holds mostly what "
    "came last, one with a low β changes slowly and remembers longer.</p></div>"
)
BUTTONS = ["download", "fullscreen"]


@dataclass
class MemoryPanel:
    empty: gr.HTML
    full: gr.Column
    turn: gr.Slider
    moment: gr.HTML
    atlas: gr.Image
    layer_image: gr.Image
    layer: gr.Slider
    head: gr.Radio
    gates: gr.Image
    svg: dict[str, gr.Button]
    file: gr.DownloadButton

    @property
    def images(self) -> list:
        return [self.atlas, self.layer_image, self.gates]


def memory_panel(model) -> MemoryPanel:
    layers, heads = len(model.adapter.layers), model.adapter.config.num_state_heads
    with gr.Column(elem_classes="dm-panel", elem_id="memory-panel"):
        step(None, "Memory", "What δ-mem holds: one small matrix per layer, changed by every token it reads.", "memory")
        empty = gr.HTML(EMPTY, elem_id="memory-empty")
        with gr.Column(visible=False, elem_id="memory-full") as full:
            with gr.Row(elem_classes="dm-turns"):
                turn = gr.Slider(0, 1, 0, step=1, label="Step", elem_id="memory-turn", buttons=[], scale=3)
                moment = gr.HTML("", elem_id="memory-moment")
            with gr.Tabs(elem_id="memory-tabs"):
                with gr.Tab("States", id="states", elem_id="tab-states"):
                    with gr.Row():
                        with gr.Column(scale=4, min_width=300):
                            atlas = _image("All layers' states", "memory-atlas")
                            gr.HTML('<div class="dm-faint">Click a layer to see its numbers, or choose it here.</div>')
                            with gr.Row(elem_classes="dm-undermap"):
                                layer = gr.Slider(
                                    0, max(layers - 1, 1), 0, step=1, label="Layer", buttons=[], elem_id="memory-number"
                                )
                                head = gr.Radio(
                                    [(str(index + 1), index) for index in range(heads)],
                                    value=0,
                                    label="State",
                                    min_width=230,
                                    visible=heads > 1,
                                    elem_id="memory-head",
                                )
                        with gr.Column(scale=3, min_width=280):
                            layer_image = _image("One layer's state with its numbers", "memory-layer")
                            with gr.Row(elem_classes="dm-undermap"):
                                gr.HTML('<div class="dm-faint">For print:</div>')
                                atlas_svg = _svg("All layers as SVG", "atlas-svg")
                                layer_svg = _svg("This layer as SVG", "layer-svg")
                with gr.Tab("Gates", id="gates", elem_id="tab-gates"):
                    with gr.Row():
                        with gr.Column(scale=4, min_width=300):
                            gates = _image("Gates β and λ by layer and state row", "memory-gates")
                        with gr.Column(scale=1, min_width=190):
                            gr.HTML(GATES)
                            gates_svg = _svg("Gates as SVG", "gates-svg")
        file = gr.DownloadButton("SVG", visible="hidden", elem_id="memory-file")
    buttons = {"atlas": atlas_svg, "layer": layer_svg, "gates": gates_svg}
    return MemoryPanel(empty, full, turn, moment, atlas, layer_image, layer, head, gates, buttons, file)


def _svg(label: str, elem_id: str) -> gr.Button:
    return gr.Button(label, size="sm", scale=0, min_width=0, elem_id=elem_id, elem_classes="dm-small")


def _image(label: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label,
        alt_text=label,
        show_label=False,
        format="png",
        type="filepath",
        interactive=False,
        buttons=BUTTONS,
        elem_id=elem_id,
        elem_classes="dm-map",
    )


class Maps:
    """The figures of one workspace's memory, drawn when asked for."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        column = workspace.memory  # None when all columns are without
        self.shots = column.session.snapshots if column else []
        adapter = column.session.adapter if column else workspace.model.adapter_name
        self.source = Source(workspace.model.name, adapter_name(workspace.model, adapter))
        self.limit = state_limit(self.shots)

    @property
    def empty(self) -> bool:
        return all(shot.label == "start" for shot in self.shots)

    def strongest(self, turn: int) -> int:
        """The layer whose state is largest: the one most worth looking at."""
        states = self.shots[turn].states
        return int(np.linalg.norm(states.reshape(len(states), -1), axis=1).argmax())

    def layout(self) -> AtlasLayout:
        count, heads, rank, _ = self.shots[0].states.shape
        return AtlasLayout(count, heads, rank)

    def figure(self, which: str, turn: int, layer: int, head: int):
        """which: "atlas", "layer" or "gates". Indices out of range are moved to the nearest that is."""
        shot = self.shots[min(max(turn, 0), len(self.shots) - 1)]
        layers, heads = shot.states.shape[:2]
        layer, head = min(max(layer, 0), layers - 1), min(max(head, 0), heads - 1)
        if which == "atlas":
            return states_atlas(shot, self.source, self.limit, layer).figure
        if which == "layer":
            return layer_states(shot, layer, self.source, self.limit, head).figure
        return gate_map(shot, self.source).figure

    def file(self, which: str, turn: int, layer: int, head: int, kind: str = "png") -> str:
        """Path of the figure's file in the workspace's folder, its name saying what it shows."""
        data = {"png": png, "svg": svg}[kind](self.figure(which, turn, layer, head))
        label = self.shots[min(max(turn, 0), len(self.shots) - 1)].label.replace(" ", "-")
        what = {"atlas": "states", "layer": f"layer-{layer}-state", "gates": "gates"}[which]
        path = Path(self.workspace.folder) / f"delta-mem-{what}-{label}.{kind}"
        path.write_bytes(data)
        return str(path)

    def moment(self, turn: int) -> str:
        """The shown step in words."""
        shot = self.shots[min(max(turn, 0), len(self.shots) - 1)]
        sentence = when(shot.label)
        written = words.many(shot.written_tokens, "token")
        return (
            f'<div class="dm-moment"><b>{sentence[0].upper()}{sentence[1:]}</b><br>{written} written in this step</div>'
        )
