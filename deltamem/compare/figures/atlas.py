"""All layers' states at a glance, or their change: one tile a layer, its heads side by side, on one diverging scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from .paper import (
    DPI,
    LIGHT,
    SMALL,
    TEXT,
    WIDTH,
    Look,
    Picture,
    Source,
    around_zero,
    axes_at,
    caption_height,
    colour_bar,
    layer_number,
    many,
    number,
    sheet,
    when,
)
from .scale import RULE, Snapshot
from .subject import Subject, change_of, state_of

SIDE, TOP, BAR = 0.12, 0.34, 0.45  # inches: side margins, title, colour bar with its label
LABEL = 0.17  # inches above each tile for the layer's number
LARGEST = 0.2  # inches: the side of a cell when there are few
RATIO = 1.35  # width to height of the field of tiles


@dataclass(frozen=True)
class AtlasLayout:
    """Where each layer's tile lies, in cells of one state entry. layers, heads, rank: the shape of the states.

    width: inches of the figure.
    """

    layers: int
    heads: int
    rank: int
    width: float = WIDTH

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile in cells; one empty cell parts the heads."""
        return self.heads * (self.rank + 1) - 1, self.rank

    @property
    def columns(self) -> int:
        """Tiles in a row: a field near RATIO with few empty places, and cells of more than a few pixels."""

        def cost(columns: int) -> float:
            width, height = self._size(columns)
            small = max(0, 4 - self._cell(columns) * DPI) * 0.3
            return abs(math.log(width / height / RATIO)) + (-self.layers % columns) / self.layers + small

        return min(range(1, self.layers + 1), key=cost)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole field in cells."""
        return self._size(self.columns)

    @property
    def cell(self) -> float:
        """The side of a cell in inches: a whole number of pixels, so that all cells look alike."""
        return self._cell(self.columns)

    @property
    def gap(self) -> int:
        """Cells above each tile."""
        return self._gap(self.columns)

    def origin(self, index: int) -> tuple[int, int]:
        """Column and row of the upper left cell of layer `index`."""
        row, column = divmod(index, self.columns)
        width, height = self.tile
        return column * (width + 2), row * (height + self.gap) + self.gap

    def layer_at(self, x: float, y: float) -> int | None:
        """The layer drawn at a pixel of the PNG (from its upper left corner), or None between the tiles."""
        cell = self.cell * DPI
        left = (self.width * DPI - self.size[0] * cell) / 2
        column, row = (x - left) / cell, (y - TOP * DPI) / cell
        for index in range(self.layers):
            at, down = self.origin(index)
            # The number above a tile belongs to it.
            if at <= column <= at + self.tile[0] and down - self.gap <= row <= down + self.tile[1]:
                return index
        return None

    def _cell(self, columns: int) -> float:
        width = columns * (self.tile[0] + 2) - 2
        return max(int(min((self.width - 2 * SIDE) / width, LARGEST) * DPI), 1) / DPI

    def _gap(self, columns: int) -> int:
        return math.ceil(LABEL / self._cell(columns))

    def _size(self, columns: int) -> tuple[int, int]:
        width, height = self.tile
        return columns * (width + 2) - 2, math.ceil(self.layers / columns) * (height + self._gap(columns))


def states_atlas(
    snapshot: Snapshot, source: Source, limit: float, chosen: int | None = None, look: Look = LIGHT
) -> Picture:
    """All layers of snapshot.states [L, H, r, r] from −limit to limit; layer `chosen` gets a frame."""
    subject = state_of(snapshot, source)
    title = f"Memory {subject.moment}"
    title += f": {many(len(subject.layers), 'layer')}, {subject.shape} each" if look.wide else ""
    caption = [f"{subject.source}. Largest |S| {number(np.abs(subject.values).max())}.", RULE]
    return _atlas("states", subject, title, caption, limit, chosen, look)


def change_atlas(
    snapshot: Snapshot,
    source: Source,
    other: Snapshot,
    limit: float,
    other_source: Source | None = None,
    chosen: int | None = None,
    look: Look = LIGHT,
) -> Picture:
    """The states of `snapshot` less those of `other`, on the scale of the states. Raises ValueError (see change_of)."""
    subject = change_of(snapshot, source, other, other_source)
    change, size = np.linalg.norm(subject.values), np.linalg.norm(other.states)
    share = f", {change / size:.0%} of ‖S‖ before" if size > 0 and other_source in (None, source) else ""
    caption = [
        f"{subject.source}. ‖ΔS‖ = {number(change)} over all layers{share}.",
        f"Scale ±{limit:g}, that of the states, so that a change can be held against them.",
    ]
    # The caption says less what: a title of one line keeps the tiles where AtlasLayout says.
    title = f"Change of the memory {when(snapshot.label)}"
    return _atlas("change", subject, title, caption, limit, chosen, look)


def _atlas(
    name: str, subject: Subject, title: str, caption: list[str], limit: float, chosen: int | None, look: Look
) -> Picture:
    count, heads, rank, _ = subject.values.shape
    layout = AtlasLayout(count, heads, rank, look.width)
    width, height = layout.size
    grid = np.full((height, width), np.nan, np.float32)
    frames = []
    for index in range(count):
        x, y = layout.origin(index)
        for head in range(heads):
            left = x + head * (rank + 1)
            grid[y : y + rank, left : left + rank] = subject.values[index, head]
            frames.append(Rectangle((left - 0.5, y - 0.5), rank, rank))

    foot = caption_height(caption, look.width)
    figure = sheet(look.width, TOP + height * layout.cell + BAR + foot, title, caption, look)
    field = (width * layout.cell, height * layout.cell)
    left = (look.width - field[0]) / 2
    axes = axes_at(figure, left, foot + BAR, *field)
    axes.set_axis_off()
    image = axes.imshow(grid, cmap=look.states, norm=Normalize(-limit, limit), interpolation="nearest", aspect="auto")
    outlines = PatchCollection(
        frames, facecolor="none", edgecolor=look.frame, linewidth=min(0.5, 20 * layout.cell), clip_on=False
    )
    axes.add_collection(outlines, autolim=False)
    if chosen is not None:
        x, y = layout.origin(chosen)
        pad = 0.018 / layout.cell
        size = layout.tile[0] + 2 * pad, rank + 2 * pad
        axes.add_patch(Rectangle((x - 0.5 - pad, y - 0.5 - pad), *size, fill=False, ec=look.ink, lw=1.4, clip_on=False))
    for index, module in enumerate(subject.layers):
        x, y = layout.origin(index)
        text = ("layer " if index == 0 else "") + layer_number(module)
        weight = "bold" if index == chosen else "normal"
        axes.text(x - 0.5, y - 0.5 - 0.03 / layout.cell, text, size=SMALL, color=look.ink, va="bottom", weight=weight)

    # Under the field, and far enough to the left for the words beside it.
    bar = 0.42 * look.width
    left = min(left, 0.06 * look.width)
    colour_bar(figure, image, (left, foot + 0.2, bar, 0.11), around_zero(limit), look, extend="both")
    words = f"{subject.symbol}: rows are values, columns are keys"
    if heads > 1:
        words = f"{heads} states {subject.symbol} a layer" + (", side by side" if look.wide else "")
    at = left + bar + 0.25
    figure.text(
        at / look.width, (foot + 0.255) / figure.get_size_inches()[1], words, size=TEXT, color=look.ink, va="center"
    )
    return Picture(f"{name}-{subject.name}", title, figure, state_rows(subject))


def state_rows(subject: Subject) -> list[list]:
    """Every number of the states: a line for each row of each state."""
    count, heads, rank, _ = subject.values.shape
    header = ["layer", "state", "row", *(f"column {column}" for column in range(rank))]
    lines = [
        [layer_number(subject.layers[index]), head + 1, row, *map(float, subject.values[index, head, row])]
        for index in range(count)
        for head in range(heads)
        for row in range(rank)
    ]
    return [header, *lines]
