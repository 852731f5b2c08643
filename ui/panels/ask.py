"""Step 2: how answers are drawn, and what the negative controls use."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from ..gallery import Example
from .header import step

ANSWER_LIMIT = 96
OWN = "uploaded"
ANY = "any"


@dataclass
class AskPanel:
    max_tokens: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    seed: gr.Number
    other: gr.Dropdown
    other_file: gr.UploadButton
    layers: gr.Textbox
    status: gr.HTML

    @property
    def sampling(self) -> list:
        """Inputs of every event that asks, in the order of `sampling_of`."""
        return [self.max_tokens, self.temperature, self.top_p, self.seed]


def ask_panel(model, examples: list[Example]) -> AskPanel:
    """examples: transcripts that can lend their state to a control."""
    with gr.Column(elem_classes="dm-panel", elem_id="ask-panel"):
        step(2, "Ask", "Type a question under the columns: all answer it, with the same settings and seed.", "ask")
        with gr.Accordion("Settings", open=False, elem_id="ask-settings"):
            max_tokens = gr.Slider(
                8, 1024, ANSWER_LIMIT, step=1, label="Answer limit, tokens", buttons=[], elem_id="ask-max-tokens"
            )
            temperature = gr.Slider(
                0,
                2,
                0,
                step=0.1,
                label="Temperature",
                info="0: the likeliest word",
                buttons=[],
                elem_id="ask-temperature",
            )
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top-p", info="1: any word", buttons=[], elem_id="ask-top-p")
            seed = gr.Number(0, precision=0, minimum=0, label="Seed", info="Same seed, same draw", elem_id="ask-seed")
        with gr.Accordion("What the controls use", open=False, elem_id="ask-controls"):
            other = gr.Dropdown(
                [("An example that was not written", ANY), *((one.title, one.name) for one in examples)],
                value=ANY,
                label="Another transcript's state: which",
                info="For the control of that name under each column with memory",
                elem_id="control-other",
            )
            other_file = gr.UploadButton("Upload another transcript", size="sm", elem_id="control-file")
            layers = gr.Textbox(
                half(model),
                label="Layers off: which",
                info=f"Numbers and ranges of the {len(model.adapter.layers)} layers, such as 0-3, 7",
                max_length=2000,
                elem_id="control-layers",
            )
        status = gr.HTML("", elem_id="ask-status", elem_classes="dm-status")
    return AskPanel(max_tokens, temperature, top_p, seed, other, other_file, layers, status)


def half(model) -> str:
    """The later half of the layers, as the field shows it."""
    count = len(model.adapter.layers)
    return f"{count // 2}-{count - 1}"


def sampling_of(max_tokens: float | None, temperature: float | None, top_p: float | None, seed: float | None) -> dict:
    """The panel's values as a session's reply takes them; an emptied field counts as it was at first."""
    return {
        "max_new_tokens": int(ANSWER_LIMIT if max_tokens is None else max_tokens),
        "temperature": float(temperature or 0),
        "top_p": float(1 if top_p is None else top_p),
        "seed": int(seed or 0),
    }
