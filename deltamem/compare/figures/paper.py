"""What all figures share: sheet, caption, colour bar, bytes."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

DPI = 200
INK, GREY, FRAME = "#1b1f24", "#57606a", "#8c959f"
TITLE, TEXT, SMALL = 10, 8.5, 8  # points; the figures are drawn at the width they are printed at
STATES_MAP, GATES_MAP = "RdBu_r", "viridis"  # both can be read with every common colour blindness


@dataclass(frozen=True)
class Source:
    """Where the numbers come from, for captions."""

    model: str
    adapter: str

    def caption(self, label: str) -> str:
        return f"{self.model} · {self.adapter} · {when(label)}"


def when(label: str) -> str:
    """The moment that a snapshot's label names, in words."""
    if label == "start":
        return "before anything was written"
    return "after the history" if label == "history" else f"after {label}"


def layer_number(name: str) -> str:
    """'3' for 'model.layers.3.self_attn'; the name itself when it holds no number."""
    found = re.search(r"\d+", name)
    return found.group() if found else name


def sheet(width: float, height: float, title: str, caption: list[str]) -> Figure:
    """A white figure of width × height inches with a title above and the caption's paragraphs below."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.text(0.1 / width, 1 - 0.08 / height, title, va="top", size=TITLE, color=INK, weight="bold")
    figure.text(0.1 / width, 0.08 / height, wrap(caption, width), va="bottom", size=SMALL, color=GREY, linespacing=1.35)
    return figure


def wrap(caption: list[str], width: float) -> str:
    """The paragraphs of a caption, each broken to lines that fit `width` inches."""
    room = int((width - 0.2) * 72 / (SMALL * 0.53))
    return "\n".join(line for paragraph in caption for line in textwrap.wrap(paragraph, room))


def caption_height(caption: list[str], width: float) -> float:
    """Inches that the caption takes, its margins included."""
    return 0.2 + (wrap(caption, width).count("\n") + 1) * SMALL * 1.4 / 72


def colour_bar(figure: Figure, image: AxesImage, place: tuple[float, float, float, float], limit: float | None) -> None:
    """A bar at `place` (inches: left, bottom, width, height): from −limit to limit, or from 0 to 1 without a limit."""
    width, height = figure.get_size_inches()
    left, bottom, wide, tall = place
    axes = figure.add_axes((left / width, bottom / height, wide / width, tall / height))
    if limit is None:
        bar = figure.colorbar(image, cax=axes)
    else:
        bar = figure.colorbar(image, cax=axes, orientation="horizontal", extend="both", extendfrac=0.04)
        bar.set_ticks([-limit, -limit / 2, 0, limit / 2, limit])
    bar.outline.set(linewidth=0.5, edgecolor=GREY)
    axes.tick_params(labelsize=SMALL, length=2, width=0.5, pad=2, colors=INK)


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
