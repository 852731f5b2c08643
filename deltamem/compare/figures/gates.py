"""The gates of one step: β (how much is written) and λ (how much is kept), layer by row, always from 0 to 1."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .paper import GATES_MAP, GREY, INK, SMALL, TEXT, TITLE, Source, caption_height, colour_bar, layer_number, sheet
from .scale import Snapshot

WIDTH = 7.2  # inches
LEFT, TOP, BOTTOM, RIGHT, BETWEEN = 0.5, 0.6, 0.45, 0.65, 0.35


def gate_map(snapshot: Snapshot, source: Source) -> Figure:
    """snapshot.beta and snapshot.lam, both [L, H, r], each an image of L layers × H·r rows from 0 to 1."""
    layers, heads, rank = snapshot.beta.shape
    tall = min(max(0.13 * layers, 1.6), 6.0)
    tokens = f"{snapshot.written_tokens:,} token" + ("" if snapshot.written_tokens == 1 else "s")
    caption = [
        f"{source.caption(snapshot.label)}. Means over the {tokens} written in this step. "
        "Scale 0 to 1 in every turn and session."
    ]
    foot = caption_height(caption, WIDTH)
    total = TOP + tall + BOTTOM + foot
    figure = sheet(WIDTH, total, f"Gates {during(snapshot.label)}", caption)
    wide = (WIDTH - LEFT - BETWEEN - RIGHT) / 2
    image = None
    for place, (values, name) in enumerate(((snapshot.beta, "β, write"), (snapshot.lam, "λ, keep"))):
        left = LEFT + place * (wide + BETWEEN)
        axes = figure.add_axes((left / WIDTH, (foot + BOTTOM) / total, wide / WIDTH, tall / total))
        flat = values.reshape(layers, heads * rank)
        image = axes.imshow(flat, cmap=GATES_MAP, norm=Normalize(0, 1), interpolation="nearest", aspect="auto")
        axes.set_facecolor("#eaeef2")
        axes.set_title(f"{name}   {spread(values)}", size=TEXT, color=INK, loc="left", pad=4)
        every = max(1, round(layers / 10))
        numbers = [layer_number(layer) for layer in snapshot.layers[::every]]
        axes.set_yticks(range(0, layers, every), numbers if place == 0 else [])
        columns = range(0, heads * rank, 1 if heads == 1 else rank)
        axes.set_xticks(columns, range(rank) if heads == 1 else [f"state {head + 1}" for head in range(heads)])
        if heads > 1:
            axes.vlines([head * rank - 0.5 for head in range(1, heads)], -0.5, layers - 0.5, color="white", lw=1.2)
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("left")
        axes.tick_params(labelsize=SMALL, length=2, pad=2, colors=INK)
        axes.set_xlabel("state row" if heads == 1 else f"rows 0 to {rank - 1} of each state", size=TEXT, color=INK)
        for spine in axes.spines.values():
            spine.set(color=GREY, linewidth=0.5)
        if place == 0:
            axes.set_ylabel("layer", size=TEXT, color=INK, labelpad=2)
        if not np.isfinite(values).any():
            axes.text(0.5, 0.5, "nothing was written", transform=axes.transAxes, ha="center", size=TITLE, color=GREY)
    right = LEFT + 2 * wide + BETWEEN + 0.15
    colour_bar(figure, image, (right, foot + BOTTOM, 0.12, tall), None)
    return figure


def during(label: str) -> str:
    """The step that a snapshot's label names, in words."""
    if label == "start":
        return "before anything was written"
    if label.startswith("history"):
        return f"while {'the history' if label == 'history' else label} was written"
    return f"in {label}"


def spread(values: np.ndarray) -> str:
    """Mean and range in words; on a scale from 0 to 1 small gates look alike."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ""
    return f"mean {finite.mean():.3f}, from {finite.min():.3f} to {finite.max():.3f}"
