"""What all figures share: light and dark looks, sheet, caption, colour bar, bytes."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass, replace
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from deltamem.quoting import UNSEEN

matplotlib.rcParams["svg.hashsalt"] = "deltamem"  # the same figure gives the same SVG
DPI = 200
TITLE, TEXT, SMALL = 10, 8.5, 8  # points; the figures are drawn at the width they are printed at
WIDTH = 6.5  # inches: the text width of a page
NARROW = 4.5  # inches: what is readable across a phone


@dataclass(frozen=True)
class Look:
    """Colours of a figure. In both looks zero is the colour of the ground, so that only what is there stands out.

    ground, ink, grey, frame: background, text, lesser text, thin lines. empty: where there is no number.
    states: diverging map centred on zero. gates: sequential map. text: sequential map from the ground's colour, for
    marking text. accent: bars and points. All maps can be read with every common colour blindness. width: inches.
    """

    ground: str
    ink: str
    grey: str
    frame: str
    empty: str
    states: str | Colormap
    gates: str | Colormap
    text: str | Colormap
    accent: str
    width: float = WIDTH

    @property
    def wide(self) -> bool:
        """Whether a figure has the width of a page."""
        return self.width >= WIDTH


LIGHT = Look("#ffffff", "#1b1f24", "#57606a", "#8c959f", "#eaeef2", "RdBu_r", "viridis", "YlGnBu", "#3b5bdb")
# matplotlib's own maps with a dark middle hide small values: these grow lighter from the first step on.
_DARK_STATES = LinearSegmentedColormap.from_list("dark", ["#d6e8ff", "#4c9aff", "#141d30", "#f08030", "#ffe3c0"])
_DARK_TEXT = LinearSegmentedColormap.from_list("dark", ["#141d30", "#1c5d80", "#2b938c", "#c9e58a", "#fdfbc4"])
DARK = Look("#0f172a", "#e6edf3", "#9aa7b5", "#64748b", "#1e293b", _DARK_STATES, "viridis", _DARK_TEXT, "#91a7ff")
LOOKS = {"light": LIGHT, "dark": DARK} | {
    f"{name} narrow": replace(look, width=NARROW) for name, look in (("light", LIGHT), ("dark", DARK))
}


class Picture(NamedTuple):
    """One figure with the numbers it shows.

    name: what its files are called, without suffix. title: what it shows, in words. rows: its numbers as a table,
    the header first.
    """

    name: str
    title: str
    figure: Figure
    rows: list[list]

    @property
    def alt(self) -> str:
        """Title and caption in one text, for those who cannot see the figure."""
        return " ".join(" ".join(text.get_text().split()) for text in self.figure.texts[:2])


@dataclass(frozen=True)
class Source:
    """Where the numbers come from, for captions. arm: the column of a comparison, where there are several."""

    model: str
    adapter: str
    arm: str = ""

    def caption(self, words: str) -> str:
        return " · ".join(part for part in (self.model, self.adapter, self.arm, words) if part)


def when(label: str) -> str:
    """The moment that a snapshot's label names, in words."""
    if label == "start":
        return "before anything was written"
    if label == "history":
        return "after the history"
    # A state that was put in place ("zero state") is no step that comes after something.
    return f"after {label}" if label.startswith(("history", "turn")) else f"with {label}"


def during(label: str) -> str:
    """The step that a snapshot's label names, in words."""
    if label == "start":
        return "before anything was written"
    if label.startswith("history"):
        return f"while {'the history' if label == 'history' else label} was written"
    return f"in {label}" if label.startswith("turn") else f"with {label}"


def file_label(text: str) -> str:
    """A step's label, or another text, as a part of a file name: letters, digits, dots and dashes."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char == ".") else "-" for char in text)
    return "-".join(part for part in kept.split("-") if part.strip("."))[:60] or "step"


def layer_number(name: str) -> str:
    """'3' for 'model.layers.3.self_attn'; the name itself when it holds no number."""
    found = re.search(r"\d+", name)
    return found.group() if found else name


def sheet(width: float, height: float, title: str, caption: list[str], look: Look) -> Figure:
    """An empty figure of width × height inches with a title above and the caption's paragraphs below.

    A title of more than one line makes it taller: what lies above `height` is the title's own.
    """
    height += title_height(title, width) - title_height("", width)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=look.ground)
    lines = wrap([title], width, TITLE * 1.1)
    figure.text(0.1 / width, 1 - 0.08 / height, lines, va="top", size=TITLE, color=look.ink, weight="bold")
    lines = wrap(caption, width)
    figure.text(0.1 / width, 0.08 / height, lines, va="bottom", size=SMALL, color=look.grey, linespacing=1.35)
    # Model names and answers may hold a dollar sign, which would start a formula.
    for text in figure.texts:
        text.set_parse_math(False)
    return figure


def wrap(paragraphs: list[str], width: float, size: float = SMALL) -> str:
    """Paragraphs, each broken to lines that fit `width` inches at a font size in points."""
    room = int((width - 0.2) * 72 / (size * 0.53))
    # Control characters have no shape, and an SVG that holds one is no XML.
    plain = (UNSEEN.sub(" ", paragraph) for paragraph in paragraphs)
    return "\n".join(line for paragraph in plain for line in textwrap.wrap(paragraph, room))


def caption_height(caption: list[str], width: float) -> float:
    """Inches that the caption takes, its margins included."""
    return 0.2 + (wrap(caption, width).count("\n") + 1) * SMALL * 1.4 / 72


def title_height(title: str, width: float) -> float:
    """Inches that the title takes, its margins included."""
    return 0.16 + (wrap([title], width, TITLE * 1.1).count("\n") + 1) * TITLE * 1.3 / 72


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / tall, width / wide, height / tall))


def dress(axes: Axes, look: Look) -> None:
    """Thin frame and small ticks in the look's colours."""
    axes.set_facecolor(look.empty)
    axes.tick_params(labelsize=SMALL, length=2, width=0.5, pad=2, colors=look.ink)
    for spine in axes.spines.values():
        spine.set(color=look.grey, linewidth=0.5)


def colour_bar(
    figure: Figure,
    image: ScalarMappable,
    place: tuple[float, float, float, float],
    ticks: dict[float, str],
    look: Look,
    extend: str = "neither",
) -> None:
    """A bar at `place` (inches: left, bottom, width, height), along its longer side. ticks: value -> its label."""
    axes = axes_at(figure, *place)
    lying = place[2] > place[3]
    bar = figure.colorbar(
        image, cax=axes, orientation="horizontal" if lying else "vertical", extend=extend, extendfrac=0.04
    )
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.minorticks_off()
    bar.outline.set(linewidth=0.5, edgecolor=look.grey)
    axes.tick_params(labelsize=SMALL, length=2, width=0.5, pad=2, colors=look.ink)


def around_zero(limit: float) -> dict[float, str]:
    """Ticks of a diverging scale."""
    return {value: f"{value:g}".replace("-", "−") for value in (-limit, -limit / 2, 0, limit / 2, limit)}


def many(count: int, noun: str) -> str:
    """'1 layer', '30 layers'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def number(value: float) -> str:
    """Three digits with a proper minus sign; a dash for no number."""
    return "–" if value != value else f"{value:.3g}".replace("-", "−")


def png(figure: Figure) -> bytes:
    """The figure as PNG, 200 dots per inch."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG, its text as outlines, so that it looks the same everywhere."""
    buffer = io.BytesIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
