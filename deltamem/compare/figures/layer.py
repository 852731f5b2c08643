"""One state in large, with its numbers in the cells."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .paper import GREY, INK, SMALL, STATES_MAP, TEXT, Source, caption_height, colour_bar, layer_number, sheet, when
from .scale import Snapshot, decimals

WIDTH = 4.5  # inches
LEFT, RIGHT, TOP, BOTTOM = 0.42, 0.14, 0.36, 0.4  # inches around the square
BAR = 0.35


def layer_states(snapshot: Snapshot, layer: int, source: Source, limit: float, head: int = 0) -> Figure:
    """State `head` of layer number `layer` (an index into snapshot.layers) from −limit to limit."""
    state = snapshot.states[layer, head]
    heads, rank = snapshot.states.shape[1], state.shape[0]
    side = WIDTH - LEFT - RIGHT
    caption = [
        f"{source.caption(snapshot.label)}. Scale ±{limit:g}, as in all turns of the session; "
        f"‖S‖ = {np.linalg.norm(state):.3g}."
    ]
    foot = caption_height(caption, WIDTH)
    total = TOP + side + BOTTOM + BAR + foot
    which = f"Layer {layer_number(snapshot.layers[layer])}" + (f", state {head + 1} of {heads}" if heads > 1 else "")
    figure = sheet(WIDTH, total, f"{which}, {when(snapshot.label)}", caption)

    axes = figure.add_axes((LEFT / WIDTH, (foot + BAR + BOTTOM) / total, side / WIDTH, side / total))
    colours = Normalize(-limit, limit)
    image = axes.imshow(state, cmap=STATES_MAP, norm=colours, interpolation="nearest", aspect="auto")
    axes.set_xticks(range(rank), range(rank))
    axes.set_yticks(range(rank), range(rank))
    axes.tick_params(labelsize=SMALL, length=0, pad=3, colors=INK)
    axes.set_xlabel("column (key)", size=TEXT, color=INK, labelpad=2)
    axes.set_ylabel("row (value)", size=TEXT, color=INK, labelpad=2)
    for spine in axes.spines.values():
        spine.set(color=GREY, linewidth=0.5)

    places = decimals(limit)
    size = min(8.5, side / rank * 72 / (places + 3) / 0.7)
    for row in range(rank):
        for column in range(rank):
            value = state[row, column]
            dark = abs(value) > 0.6 * limit
            # Adding 0 turns −0.0 into 0.0.
            text = f"{round(float(value), places) + 0:.{places}f}".replace("-", "−")
            axes.text(column, row, text, size=size, ha="center", va="center", color="white" if dark else INK)

    colour_bar(figure, image, (LEFT, foot + 0.2, side, 0.1), limit)
    return figure
