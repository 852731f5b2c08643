"""How far the memory moved each layer at each token: ‖Δo‖ / ‖o‖, always on one scale."""

from __future__ import annotations

import numpy as np

from .paper import (
    LIGHT,
    SMALL,
    TEXT,
    WIDTH,
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
    number,
    sheet,
)
from .scale import influence_scale
from .tokens import Trace, left_out, printable, shown_tokens

LEFT, TOP, RIGHT = 0.5, 0.42, 0.7  # inches
SHOWN, NAMED = 480, 44  # columns at most; tokens up to which each is named
NAME = 14  # characters of a token's name


def influence_map(trace: Trace, source: Source, look: Look = LIGHT) -> Picture:
    """trace.influence [L, T]: layers from top to bottom, tokens from left to right; several a column when many."""
    head = trace.head
    values = trace.influence.astype(np.float64)
    layers, tokens = values.shape
    step = max(1, -(-tokens // SHOWN))
    first, last = shown_tokens(trace, tokens)
    columns = [values[:, at : at + step].mean(axis=1) for at in range(first, last, step)]
    grid = np.stack(columns, axis=1) if columns else np.zeros((layers, 0))
    named = 0 < tokens <= NAMED * look.width / WIDTH
    names = [printable(piece, "DejaVu Sans")[:NAME].strip() or "␣" for piece in trace.pieces] if named else []
    bottom = 0.15 + 0.066 * max(map(len, names)) if named else 0.42
    tall = min(max(0.13 * layers, 1.4), 5.0)
    known = values[np.isfinite(values)]
    median = f"median {number(np.median(known))}, largest {number(known.max())}" if known.size else "nothing was read"
    what = "attention output" if head == "o" else f"{head} projection"
    caption = [
        f"{source.caption(during(trace.label))}. Norm of the memory’s correction of the {what} over the norm of that "
        f"output without it; {median}."
        + (f" Each column is the mean of {step} tokens." if step > 1 else "")
        + left_out(trace, first, last),
        "Scale 0.01 to 10 in every turn and column, each step ten times the one before; less than 0.01 has the lowest "
        "colour.",
    ]
    foot = caption_height(caption, look.width)
    title = f"Influence of the memory {during(trace.label)}: ‖Δ{head}‖ / ‖{head}‖"
    figure = sheet(look.width, TOP + tall + bottom + foot, title, caption, look)
    wide = look.width - LEFT - RIGHT
    axes = axes_at(figure, LEFT, foot + bottom, wide, tall)
    dress(axes, look)
    image = axes.imshow(
        grid,
        cmap=look.gates,
        norm=influence_scale(),
        interpolation="nearest",
        aspect="auto",
        extent=(0, max(tokens, 1), layers, 0),
    )
    every = max(1, round(layers / 10))
    axes.set_yticks(
        [index + 0.5 for index in range(0, layers, every)], [layer_number(name) for name in trace.layers[::every]]
    )
    axes.set_ylabel("layer", size=TEXT, color=look.ink, labelpad=2)
    if named:
        axes.set_xticks([index + 0.5 for index in range(tokens)], names, rotation=90, parse_math=False)
        axes.tick_params(axis="x", labelsize=SMALL, length=1.5)
    else:
        axes.set_xlabel("token of the step" if tokens == trace.tokens else "token", size=TEXT, color=look.ink)
    ticks = {0.01: "0.01", 0.1: "0.1", 1: "1", 10: "10"}
    colour_bar(figure, image, (look.width - RIGHT + 0.15, foot + bottom, 0.12, tall), ticks, look)
    return Picture(f"influence-{file_label(trace.label)}", title, figure, influence_rows(trace))


def influence_rows(trace: Trace) -> list[list]:
    """A line per token with its influence in every layer."""
    header = ["token", "text", *(f"layer {layer_number(name)}" for name in trace.layers)]
    lines = zip(trace.pieces, trace.influence.T.tolist(), strict=True)
    return [header, *([index, piece, *line] for index, (piece, line) in enumerate(lines))]
