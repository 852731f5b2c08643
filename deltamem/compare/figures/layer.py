"""One state in large, or its change, with the numbers in the cells."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from .paper import (
    LIGHT,
    NARROW,
    SMALL,
    TEXT,
    Look,
    Picture,
    Source,
    around_zero,
    axes_at,
    caption_height,
    colour_bar,
    dress,
    layer_number,
    number,
    sheet,
    title_height,
)
from .scale import Snapshot, decimals
from .subject import Subject, change_of, state_of

LEFT, RIGHT, BOTTOM, BAR = 0.42, 0.14, 0.4, 0.35  # inches around the square
NUMBERS = 16  # rows up to which the numbers stand in the cells


def layer_states(
    snapshot: Snapshot, layer: int, source: Source, limit: float, head: int = 0, look: Look = LIGHT
) -> Picture:
    """State `head` of layer number `layer` (an index into snapshot.layers) from −limit to limit."""
    return _layer(state_of(snapshot, source), layer, head, limit, "as in all turns and columns", look)


def layer_change(
    snapshot: Snapshot,
    layer: int,
    source: Source,
    other: Snapshot,
    limit: float,
    other_source: Source | None = None,
    head: int = 0,
    look: Look = LIGHT,
) -> Picture:
    """What one state of `snapshot` differs from that of `other` by. Raises ValueError (see change_of)."""
    subject = change_of(snapshot, source, other, other_source)
    return _layer(subject, layer, head, limit, "that of the states", look)


def _layer(subject: Subject, layer: int, head: int, limit: float, rule: str, look: Look) -> Picture:
    state = subject.values[layer, head]
    heads, rank = subject.values.shape[1], state.shape[0]
    where = layer_number(subject.layers[layer])
    width = NARROW if rank <= 10 else look.width  # the numbers of a small state need no more
    side = width - LEFT - RIGHT
    size = number(np.linalg.norm(state))
    caption = [f"{subject.source}. Scale ±{limit:g}, {rule}; ‖{subject.symbol}‖ = {size}."]
    which = f"Layer {where}" + (f", state {head + 1} of {heads}" if heads > 1 else "")
    title = f"{which}, {subject.moment}" if subject.symbol == "S" else f"{which}: the state {subject.moment}"
    foot = caption_height(caption, width)
    base = foot + BAR + BOTTOM
    figure = sheet(width, base + side + title_height("", width), title, caption, look)

    axes = axes_at(figure, LEFT, base, side, side)
    dress(axes, look)
    image = axes.imshow(state, cmap=look.states, norm=Normalize(-limit, limit), interpolation="nearest", aspect="auto")
    every = range(0, rank, max(1, rank // NUMBERS))
    axes.set_xticks(every, every)
    axes.set_yticks(every, every)
    axes.tick_params(length=0, pad=3)
    axes.set_xlabel("column (key)", size=TEXT, color=look.ink, labelpad=2)
    axes.set_ylabel("row (value)", size=TEXT, color=look.ink, labelpad=2)

    if rank <= NUMBERS:
        places = decimals(limit)
        points = min(SMALL + 0.5, side / rank * 72 / (places + 3) / 0.62)
        for row in range(rank):
            for column in range(rank):
                value = float(state[row, column])
                # Adding 0 turns −0.0 into 0.0.
                text = f"{round(value, places) + 0:.{places}f}".replace("-", "−")
                colour = ink_on(image, value)
                axes.text(column, row, text, size=points, ha="center", va="center", color=colour)

    colour_bar(figure, image, (LEFT, foot + 0.2, side, 0.1), around_zero(limit), look, extend="both")
    symbol = "layer" if subject.symbol == "S" else "layer-change"
    name = f"{symbol}-{where}" + (f"-state-{head + 1}" if heads > 1 else "")
    header = ["row", *(f"column {column}" for column in range(rank))]
    return Picture(
        f"{name}-{subject.name}", title, figure, [header, *([row, *map(float, state[row])] for row in range(rank))]
    )


def ink_on(image: ScalarMappable, value: float) -> str:
    """Black or white: what can be read on the colour of a value."""
    return readable(image.to_rgba(value))


def readable(colour: tuple[float, ...]) -> str:
    """Black or white: what has more contrast on a colour."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    return "#14181d" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "#ffffff"
