"""All layers' states at a glance: one tile a layer, its state heads side by side, on one diverging scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .paper import (
    DPI,
    FRAME,
    INK,
    SMALL,
    STATES_MAP,
    TEXT,
    Source,
    caption_height,
    colour_bar,
    layer_number,
    sheet,
    when,
)
from .scale import RULE, Snapshot

WIDTH = 6.0  # inches
SIDE, TOP, BAR = 0.12, 0.34, 0.45  # inches: side margins, title, colour bar with its label
LABEL = 0.17  # inches above each tile for the layer's number
RATIO = 1.35  # width to height of the field of tiles


@dataclass(frozen=True)
class AtlasLayout:
    """Where each layer's tile lies, in cells of one state entry. layers, heads, rank: the shape of the states."""

    layers: int
    heads: int
    rank: int

    @property
    def tile(self) -> tuple[int, int]:
        """Width and height of a tile in cells; one empty cell parts the heads."""
        return self.heads * (self.rank + 1) - 1, self.rank

    @property
    def columns(self) -> int:
        """Tiles in a row: a field near RATIO with few empty places."""

        def cost(columns: int) -> float:
            width, height = self._size(columns)
            return abs(math.log(width / height / RATIO)) + (-self.layers % columns) / self.layers

        return min(range(1, self.layers + 1), key=cost)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole field in cells."""
        return self._size(self.columns)

    @property
    def cell(self) -> float:
        """The side of a cell in inches: a whole number of pixels, so that all cells look alike."""
        return max(int((WIDTH - 2 * SIDE) * DPI / self.size[0]), 1) / DPI

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
        left = (WIDTH * DPI - self.size[0] * cell) / 2
        column, row = (x - left) / cell, (y - TOP * DPI) / cell
        for index in range(self.layers):
            at, down = self.origin(index)
            # The number above a tile belongs to it.
            if at <= column <= at + self.tile[0] and down - self.gap <= row <= down + self.tile[1]:
                return index
        return None

    def _gap(self, columns: int) -> int:
        width = columns * (self.tile[0] + 2) - 2
        return max(1, math.ceil(LABEL * width / (WIDTH - 2 * SIDE)))

    def _size(self, columns: int) -> tuple[int, int]:
        width, height = self.tile
        return columns * (width + 2) - 2, math.ceil(self.layers / columns) * (height + self._gap(columns))


def states_atlas(snapshot: Snapshot, source: Source, limit: float, chosen: int | None = None) -> Figure:
    """All layers of snapshot.states [L, H, r, r] from −limit to limit; layer `chosen` gets a dark frame."""
    count, heads, rank, _ = snapshot.states.shape
    layout = AtlasLayout(count, heads, rank)
    width, height = layout.size
    grid = np.full((height, width), np.nan, np.float32)
    frames = []
    for index in range(count):
        x, y = layout.origin(index)
        for head in range(heads):
            left = x + head * (rank + 1)
            grid[y : y + rank, left : left + rank] = snapshot.states[index, head]
            frames.append(Rectangle((left - 0.5, y - 0.5), rank, rank))

    shape = f"{rank} × {rank}" if heads == 1 else f"{heads} states of {rank} × {rank}"
    caption = [f"{source.caption(snapshot.label)}. Largest |S| {np.abs(snapshot.states).max():.3g}.", RULE]
    foot = caption_height(caption, WIDTH)
    total = TOP + height * layout.cell + BAR + foot
    figure = sheet(WIDTH, total, f"Memory {when(snapshot.label)}: {count} layers, {shape} each", caption)

    field = (width * layout.cell, height * layout.cell)
    left = (WIDTH - field[0]) / 2
    axes = figure.add_axes((left / WIDTH, (foot + BAR) / total, field[0] / WIDTH, field[1] / total))
    axes.set_axis_off()
    colours = Normalize(-limit, limit)
    image = axes.imshow(grid, cmap=STATES_MAP, norm=colours, interpolation="nearest", aspect="auto")
    outlines = PatchCollection(frames, facecolor="none", edgecolor=FRAME, linewidth=0.5, clip_on=False)
    axes.add_collection(outlines, autolim=False)
    if chosen is not None:
        x, y = layout.origin(chosen)
        size = layout.tile[0] + 0.6, rank + 0.6
        axes.add_patch(Rectangle((x - 0.8, y - 0.8), *size, fill=False, ec=INK, lw=1.4, clip_on=False))
    for index, name in enumerate(snapshot.layers):
        x, y = layout.origin(index)
        text = ("layer " if index == 0 else "") + layer_number(name)
        weight = "bold" if index == chosen else "normal"
        axes.text(x - 0.5, y - 0.75, text, size=SMALL, color=INK, va="bottom", weight=weight)

    colour_bar(figure, image, (left, foot + 0.2, 0.45 * field[0], 0.11), limit)
    words = "state S: rows are values, columns are keys" if heads == 1 else f"{heads} states S a layer, side by side"
    figure.text((left + 0.49 * field[0]) / WIDTH, (foot + 0.255) / total, words, size=TEXT, color=INK, va="center")
    return figure
