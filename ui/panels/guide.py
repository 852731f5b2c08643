"""The guide: what a state is, which column and variant to choose, how to read the controls and the scores."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

import deltamem.compare

FILE = Path(deltamem.compare.__file__).with_name("guide.md")


def guide() -> None:
    with gr.Accordion("Guide: what δ-mem is, and how to read this page", open=False, elem_id="guide"):
        gr.Markdown(FILE.read_text(encoding="utf-8"), elem_id="guide-text")
