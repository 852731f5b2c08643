"""How large the states are: the norm of every layer after every step, and the singular values after one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize, PowerNorm

from .paper import (
    LIGHT,
    SMALL,
    TEXT,
    Look,
    Picture,
    Source,
    axes_at,
    caption_height,
    colour_bar,
    dress,
    file_label,
    layer_number,
    number,
    sheet,
    when,
)
from .scale import Snapshot, layer_norms

LEFT, TOP, BOTTOM, RIGHT = 0.8, 0.42, 0.42, 0.7  # inches
ROW, TALLEST = 0.24, 5.0  # inches: one step, all of them


def norm_map(snapshots: Sequence[Snapshot], source: Source, limit: float, look: Look = LIGHT) -> Picture:
    """‖S‖ of every layer (left to right) after every step (top to bottom), from 0 to limit."""
    norms = np.stack([layer_norms(snapshot) for snapshot in snapshots])
    layers = snapshots[-1].layers
    tall = min(max(ROW * len(norms), 0.5), TALLEST)
    last = snapshots[-1]
    strongest = int(norms[-1].argmax())
    caption = [
        f"{source.caption(when(last.label))}. ‖S‖ is the Frobenius norm over all states of a layer; largest "
        f"{when(last.label)}: {number(norms[-1, strongest])} in layer {layer_number(layers[strongest])}.",
        f"Scale 0 to {limit:g}, one for all turns and columns.",
    ]
    foot = caption_height(caption, look.width)
    title = "Size of the memory: norm of each layer's state after each step"
    figure = sheet(look.width, TOP + tall + BOTTOM + foot, title, caption, look)
    wide = look.width - LEFT - RIGHT
    axes = axes_at(figure, LEFT, foot + BOTTOM, wide, tall)
    dress(axes, look)
    image = axes.imshow(norms, cmap=look.gates, norm=Normalize(0, limit), interpolation="nearest", aspect="auto")
    layer_ticks(axes, layers, look)
    every = max(1, -(-len(norms) // int(tall / (SMALL * 1.5 / 72))))
    axes.set_yticks(range(0, len(norms), every), [snapshot.label for snapshot in snapshots[::every]])
    ticks = {value: f"{value:g}" for value in ((0, limit) if tall < 0.8 else (0, limit / 2, limit))}
    colour_bar(figure, image, (look.width - RIGHT + 0.15, foot + BOTTOM, 0.12, tall), ticks, look, extend="neither")
    header = ["step", *(f"layer {layer_number(layer)}" for layer in layers)]
    rows = [[snapshot.label, *map(float, line)] for snapshot, line in zip(snapshots, norms, strict=True)]
    return Picture("norms", title, figure, [header, *rows])


def spectrum(snapshot: Snapshot, source: Source, limit: float, look: Look = LIGHT) -> Picture:
    """Singular values of every state (columns: layers; rows: values, largest on top), and each layer's effective rank.

    The effective rank is exp of the entropy of the singular values' shares: 1 when one direction holds everything, r
    when all hold the same.
    """
    values, ranks = singular_values(snapshot.states), effective_rank(snapshot.states)
    layers, heads, rank = values.shape
    tall = min(max(0.11 * heads * rank, 1.15), 3.6)
    above = 0.9
    shown = ranks[np.isfinite(ranks)]
    words = f"mean {shown.mean():.2f} of {rank}" if shown.size else "none: nothing is stored"
    caption = [
        f"{source.caption(when(snapshot.label))}. Effective rank: exp of the entropy of the singular values' shares, "
        f"from 1 to {rank}; {words}.",
        f"Colours from 0 to {limit:g}, one scale for all turns and columns, with more room for small values.",
    ]
    foot = caption_height(caption, look.width)
    title = f"Singular values of each layer's state {when(snapshot.label)}"
    figure = sheet(look.width, TOP + above + 0.12 + tall + BOTTOM + foot, title, caption, look)
    wide = look.width - LEFT - RIGHT
    axes = axes_at(figure, LEFT, foot + BOTTOM, wide, tall)
    dress(axes, look)
    flat = values.reshape(layers, heads * rank).T
    image = axes.imshow(flat, cmap=look.gates, norm=PowerNorm(0.5, 0, limit), interpolation="nearest", aspect="auto")
    layer_ticks(axes, snapshot.layers, look)
    if heads == 1:
        every = range(0, rank, -(-rank // 8))
        axes.set_yticks(every, [index + 1 for index in every])
        axes.set_ylabel("singular value", size=TEXT, color=look.ink)
    else:
        axes.set_yticks(
            [(head + 0.5) * rank - 0.5 for head in range(heads)], [f"state {head + 1}" for head in range(heads)]
        )
        axes.tick_params(axis="y", length=0)
        for head in range(1, heads):
            axes.axhline(head * rank - 0.5, color=look.ground, lw=1.2)
    ticks = {value: f"{value:.2g}" for value in (0, limit / 10, limit / 2, limit)}
    colour_bar(figure, image, (look.width - RIGHT + 0.15, foot + BOTTOM, 0.12, tall), ticks, look)

    upper = axes_at(figure, LEFT, foot + BOTTOM + tall + 0.12, wide, above)
    dress(upper, look)
    upper.set_facecolor(look.ground)
    places = np.arange(layers)
    for head in range(heads):
        upper.plot(
            places, ranks[:, head], "o", ms=2.6 if heads > 1 else 3.4, color=look.accent, alpha=0.65 if heads > 1 else 1
        )
    if heads > 1 and shown.size:
        mean = np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in ranks])
        upper.plot(places, mean, "-", lw=1, color=look.accent)
    upper.set_xlim(-0.5, layers - 0.5)
    upper.set_ylim(0.8, max(rank, 1.2) * 1.04)
    upper.set_yticks(sorted({1, max(rank // 2, 1), rank}))
    upper.set_xticks([])
    upper.grid(axis="y", lw=0.4, color=look.empty)
    upper.set_ylabel("effective\nrank", size=TEXT, color=look.ink)
    header = ["layer", "state", "effective rank", *(f"singular value {index + 1}" for index in range(rank))]
    rows = [
        [layer_number(snapshot.layers[layer]), head + 1, float(ranks[layer, head]), *map(float, values[layer, head])]
        for layer in range(layers)
        for head in range(heads)
    ]
    return Picture(f"singular-values-{file_label(snapshot.label)}", title, figure, [header, *rows])


def singular_values(states: np.ndarray) -> np.ndarray:
    """[L, H, r], largest first, of states [L, H, r, r]."""
    return np.linalg.svd(states.astype(np.float64), compute_uv=False)


def effective_rank(states: np.ndarray) -> np.ndarray:
    """[L, H]: exp of the entropy of the singular values' shares; NaN for an empty state."""
    values = singular_values(states)
    total = values.sum(axis=-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=-1)
    return np.where(total[..., 0] > 0, np.exp(entropy), np.nan)


def layer_ticks(axes, layers: list[str], look: Look) -> None:
    """Layer numbers along the lower edge, as many as fit."""
    every = max(1, -(-len(layers) // (20 if look.wide else 12)))
    axes.set_xticks(range(0, len(layers), every), [layer_number(layer) for layer in layers[::every]])
    axes.set_xlabel("layer", size=TEXT, color=look.ink, labelpad=2)
