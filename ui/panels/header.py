"""Name, one sentence, and badges that say what runs here."""

from __future__ import annotations

from html import escape

import gradio as gr

SENTENCE = (
    "One frozen language model, given an earlier conversation in different ways: not at all, as text in the prompt, or "
    "through δ-mem, a small online memory. Ask all of them the same question and see which one knows."
)


def header(model) -> gr.HTML:
    return gr.HTML(_header(model), elem_id="dm-header")


def adapter_name(model, label: str) -> str:
    """An adapter as captions and badges call it: its label, and its variant where the label does not say it."""
    config = model.adapters[label].config
    return label if label.upper() == config.variant else f"{label} ({config.variant})"


def _header(model) -> str:
    commit = f" @ {model.commit[:10]}" if model.commit else ""
    adapters = ", ".join(adapter_name(model, label) for label in model.adapters)
    shape = model.adapter.config
    side = f"{shape.rank} × {shape.rank}"
    badges = [
        ("backbone", model.name + commit, f"{model.source}{commit}: its weights never change"),
        ("adapters" if len(model.adapters) > 1 else "adapter", adapters, f"δ-mem adapters; default state {side}"),
        ("device", f"{str(model.device).upper()} · {str(model.dtype).removeprefix('torch.')}", "where and how it runs"),
        ("attention", model.attention, "attention backend"),
        ("weights", model.fingerprint[:12], f"fingerprint of the backbone's weights: {model.fingerprint}"),
    ]
    inside = "".join(
        f'<li title="{escape(title)}"><span>{escape(name)}</span> <b>{escape(value)}</b></li>'
        for name, value, title in badges
    )
    return (
        f'<header class="dm-head"><div><h1>δ-mem playground</h1><p>{escape(SENTENCE)}</p></div>'
        f'<ul class="dm-badges" aria-label="What runs here">{inside}</ul></header>'
    )


def step(number: int | None, title: str, text: str, elem_id: str) -> gr.HTML:
    """The heading of a panel, numbered in the rail."""
    mark = f'<span class="dm-number" aria-hidden="true">{number}</span>' if number else ""
    return gr.HTML(f'<div class="dm-step"><h2>{mark}{escape(title)}</h2><p>{escape(text)}</p></div>', elem_id=elem_id)
