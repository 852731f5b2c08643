"""The gates of one step: β (how much is written) and λ (how much is kept), layer by row, always from 0 to 1."""

from __future__ import annotations

import numpy as np

from .paper import (
    LIGHT,
    TEXT,
    TITLE,
    Look,
    Picture,
    Source,
    axes_at,
    caption_height,
    colour_bar,
    dress,
    during,
    file_label,
    layer_number,
    many,
    sheet,
)
from .scale import Snapshot, gate_scale

LEFT, TOP, BOTTOM, RIGHT, BETWEEN = 0.5, 0.6, 0.45, 0.65, 0.3  # inches


def gate_map(snapshot: Snapshot, source: Source, look: Look = LIGHT) -> Picture:
    """snapshot.beta and snapshot.lam, both [L, H, r], each an image of L layers × H·r rows from 0 to 1."""
    layers, heads, rank = snapshot.beta.shape
    tall = min(max(0.13 * layers, 1.6), 6.0)
    moment = during(snapshot.label)
    caption = [
        f"{source.caption(moment)}. Means over the {many(snapshot.written_tokens, 'token')} written in this step. "
        "Scale 0 to 1 in every turn and column."
    ]
    foot = caption_height(caption, look.width)
    title = f"Gates {moment}"
    figure = sheet(look.width, TOP + tall + BOTTOM + foot, title, caption, look)
    wide = (look.width - LEFT - BETWEEN - RIGHT) / 2
    image = None
    for place, (values, name) in enumerate(((snapshot.beta, "β, write"), (snapshot.lam, "λ, keep"))):
        axes = axes_at(figure, LEFT + place * (wide + BETWEEN), foot + BOTTOM, wide, tall)
        dress(axes, look)
        flat = values.reshape(layers, heads * rank)
        image = axes.imshow(flat, cmap=look.gates, norm=gate_scale(), interpolation="nearest", aspect="auto")
        spans = f"   {spread(values)}" if look.wide else ""
        axes.set_title(f"{name}{spans}", size=TEXT, color=look.ink, loc="left", pad=4)
        every = max(1, round(layers / 10))
        numbers = [layer_number(layer) for layer in snapshot.layers[::every]]
        axes.set_yticks(range(0, layers, every), numbers if place == 0 else [])
        head_ticks(axes, heads, rank, look)
        if place == 0:
            axes.set_ylabel("layer", size=TEXT, color=look.ink, labelpad=2)
        if not np.isfinite(values).any():
            axes.text(
                0.5, 0.5, "nothing was written", transform=axes.transAxes, ha="center", size=TITLE, color=look.grey
            )
    right = LEFT + 2 * wide + BETWEEN + 0.15
    ticks = {value: f"{value:g}" for value in (0, 0.2, 0.4, 0.6, 0.8, 1)}
    colour_bar(figure, image, (right, foot + BOTTOM, 0.12, tall), ticks, look)
    return Picture(f"gates-{file_label(snapshot.label)}", title, figure, _rows(snapshot))


def head_ticks(axes, heads: int, rank: int, look: Look) -> None:
    """Row numbers under one state, or where each of several states begins, parted by lines."""
    if heads == 1:
        every = range(0, rank, max(1, rank // 16))
        axes.set_xticks(every, every)
    else:
        axes.set_xticks(
            [(head + 0.5) * rank - 0.5 for head in range(heads)],
            [_head(head, heads, look) for head in range(heads)],
        )
        axes.tick_params(axis="x", length=0)
        low, high = axes.get_ylim()
        axes.vlines([head * rank - 0.5 for head in range(1, heads)], low, high, color=look.ground, lw=1.2)
        axes.set_ylim(low, high)
    words = "state row" if heads == 1 else f"rows 0 to {rank - 1} of each state"
    axes.set_xlabel(words, size=TEXT, color=look.ink)


def _head(head: int, heads: int, look: Look) -> str:
    return f"state {head + 1}" if heads <= 4 and look.wide else str(head + 1)


def spread(values: np.ndarray) -> str:
    """Mean and range in words; on a scale from 0 to 1 small gates look alike."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ""
    return f"mean {finite.mean():.3f}, {finite.min():.3f} to {finite.max():.3f}"


def _rows(snapshot: Snapshot) -> list[list]:
    layers, heads, rank = snapshot.beta.shape
    lines = [
        [
            layer_number(snapshot.layers[layer]),
            head + 1,
            row,
            *(float(g[layer, head, row]) for g in (snapshot.beta, snapshot.lam)),
        ]
        for layer in range(layers)
        for head in range(heads)
        for row in range(rank)
    ]
    return [["layer", "state", "row", "beta", "lambda"], *lines]
