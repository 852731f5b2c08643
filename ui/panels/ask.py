"""Step 2: how answers are drawn, and which adapter the memory uses."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from .header import adapter_name, step

ANSWER_LIMIT = 96


@dataclass
class AskPanel:
    max_tokens: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    seed: gr.Number
    adapter: gr.Radio
    status: gr.HTML

    @property
    def sampling(self) -> list:
        """Inputs of every event that asks, in the order of `sampling_of`."""
        return [self.max_tokens, self.temperature, self.top_p, self.seed]


def ask_panel(model) -> AskPanel:
    with gr.Column(elem_classes="dm-panel", elem_id="ask-panel"):
        step(2, "Ask", "Type a question under the two columns: both answer it side by side.", "ask-title")
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
            choices = [(adapter_name(model, label), label) for label in model.adapters]
            adapter = gr.Radio(
                choices,
                value=model.adapter_name,
                label="Adapter of the memory",
                info="A change starts both columns over and writes the history again",
                interactive=len(choices) > 1,
                elem_id="ask-adapter",
            )
        status = gr.HTML("", elem_id="ask-status", elem_classes="dm-status")
    return AskPanel(max_tokens, temperature, top_p, seed, adapter, status)


def sampling_of(max_tokens: float | None, temperature: float | None, top_p: float | None, seed: float | None) -> dict:
    """The panel's values as a session's reply takes them; an emptied field counts as it was at first."""
    return {
        "max_new_tokens": int(ANSWER_LIMIT if max_tokens is None else max_tokens),
        "temperature": float(temperature or 0),
        "top_p": float(1 if top_p is None else top_p),
        "seed": int(seed or 0),
    }
