"""A step's text with every token marked by its mean β: what was written, what hardly was. For paper and for a page."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection

from .layer import readable
from .paper import (
    LIGHT,
    TEXT,
    WIDTH,
    Look,
    Picture,
    Source,
    axes_at,
    caption_height,
    colour_bar,
    during,
    file_label,
    number,
    sheet,
)
from .scale import token_scale

FONT = "DejaVu Sans Mono"  # comes with matplotlib
CELL = 0.602  # width of its characters over their size
MARGIN, TOP, LINE, BAR = 0.15, 0.42, 1.75, 0.5  # inches; LINE: distance of two lines over the size of the text
SHOWN, PAGE = 600, 1500  # tokens in a figure, and on a page
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.5, 1)


class Trace(Protocol):
    """What the figures need of a session's trace of one step: L layers, T tokens."""

    label: str
    layers: list[str]
    head: str
    pieces: list[str]
    written: np.ndarray  # [T] bool
    beta: np.ndarray  # [L, T], NaN where nothing was written
    influence: np.ndarray  # [L, T]
    tokens: int  # of the step; more than T when some were left out


def token_text(trace: Trace, source: Source, look: Look = LIGHT) -> Picture:
    """The tokens in order, each on the colour of its β (mean over layers, heads and rows); as wide as a page."""
    beta, (first, last) = mean_beta(trace), shown_tokens(trace, SHOWN)
    room = int((WIDTH - 2 * MARGIN) * 72 / (TEXT * CELL))
    lines, lost = _lines([printable(piece, FONT) for piece in trace.pieces[first:last]], beta[first:last], room)
    caption = [
        f"{source.caption(during(trace.label))}. β: mean over layers, heads and rows; {_spread(beta)}. "
        "Grey text was only shown, not written. ↵ is a line break, · a part of a character."
        + (" □ is a character that the figure’s font lacks." if lost else "")
        + left_out(trace, first, last),
        "Scale 0 to 1 in every turn and column, with more room for small values.",
    ]
    foot = caption_height(caption, WIDTH)
    pitch = LINE * TEXT / 72
    tall = pitch * max(len(lines), 1)
    title = f"What was written {during(trace.label)}: mean β of each token"
    figure = sheet(WIDTH, TOP + tall + BAR + foot, title, caption, look)
    axes = axes_at(figure, MARGIN, foot + BAR, WIDTH - 2 * MARGIN, tall)
    axes.set_axis_off()
    axes.set_xlim(0, room)
    axes.set_ylim(len(lines) or 1, 0)
    colours = ScalarMappable(token_scale(), look.text)
    corners, fills = [], []
    for row, line in enumerate(lines):
        inks: dict[str, list[str]] = {}
        for column, char, value in line:
            known = value == value
            fill = colours.to_rgba(value) if known else None
            ink = readable(fill) if known else look.grey
            # One text a line and colour: the font's characters are all of one width.
            inks.setdefault(ink, [" "] * room)[column] = char
            if known:
                corners.append(
                    [(column, row + 0.1), (column + 1, row + 0.1), (column + 1, row + 0.9), (column, row + 0.9)]
                )
                fills.append(fill)
        for ink, chars in inks.items():
            axes.text(
                0, row + 0.52, "".join(chars).rstrip(), size=TEXT, family=FONT, color=ink, va="center", parse_math=False
            )
    axes.add_collection(PolyCollection(corners, facecolors=fills, edgecolors=fills, linewidths=0.2), autolim=False)
    ticks = {value: f"{value:g}" for value in TICKS}
    colour_bar(figure, colours, (MARGIN, foot + 0.2, 0.5 * WIDTH, 0.11), ticks, look)
    figure.text(
        (MARGIN + 0.54 * WIDTH) / WIDTH,
        (foot + 0.255) / figure.get_size_inches()[1],
        "β: share of the new value that is written",
        size=TEXT,
        color=look.ink,
        va="center",
    )
    return Picture(f"tokens-{file_label(trace.label)}", title, figure, token_rows(trace))


def token_rows(trace: Trace) -> list[list]:
    """A line per token: its number, its text, whether it was written, mean β and mean influence."""
    beta, influence = mean_beta(trace), column_means(trace.influence)
    header = ["token", "text", "written", "mean beta", "mean influence"]
    return [
        header,
        *(
            [index, piece, "yes" if trace.written[index] else "no", float(beta[index]), float(influence[index])]
            for index, piece in enumerate(trace.pieces)
        ),
    ]


def token_html(trace: Trace, look: Look = LIGHT) -> str:
    """The same as HTML, for a page: spans with their β as tooltip, and a legend. All foreign text is escaped."""
    beta, colours = mean_beta(trace), ScalarMappable(token_scale(), look.text)
    first, last = shown_tokens(trace, PAGE)
    spans = []
    for piece, value in zip(trace.pieces[first:last], beta[first:last], strict=True):
        text = escape(piece.replace("\n", "↵\n") or "·")
        if value == value:
            fill = colours.to_rgba(value)
            style = f"background:{_hex(fill)};color:{readable(fill)}"
            spans.append(f'<span style="{style}" title="β {value:.3f}">{text}</span>')
        else:
            spans.append(f'<span class="dm-unwritten" title="shown, not written">{text}</span>')
    stops = ",".join(f"{_hex(colours.to_rgba((share / 10) ** 2))} {share * 10}%" for share in range(11))
    marks = "".join(f'<i style="left:{value**0.5 * 100:.1f}%">{value:g}</i>' for value in TICKS)
    words = escape(f"The text {during(trace.label)}, each token marked by its mean β")
    return (
        f'<div class="dm-legend" role="img" aria-label="Scale of β from 0 to 1: the stronger the colour, the more of '
        f'the token was written"><span>β</span><b style="background:linear-gradient(90deg,{stops})">{marks}</b></div>'
        f'<div class="dm-tokens" tabindex="0" role="region" aria-label="{words}">{"".join(spans)}</div>'
        f'<p class="dm-faint">{escape(left_out(trace, first, last).strip())}</p>'
    )


def mean_beta(trace: Trace) -> np.ndarray:
    """[T]: mean β of each token over layers; NaN where it was not written."""
    return column_means(trace.beta)


def column_means(values: np.ndarray) -> np.ndarray:
    """Means over the first axis that leave NaN out; NaN where nothing else is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def shown_tokens(trace: Trace, most: int) -> tuple[int, int]:
    """The range of at most `most` tokens to draw: of history the first ones, of a turn the last ones."""
    count = len(trace.pieces)
    return (0, min(count, most)) if trace.label.startswith("history") else (max(count - most, 0), count)


def left_out(trace: Trace, first: int, last: int) -> str:
    """A sentence when not all tokens of the step are shown; else nothing."""
    if last - first == trace.tokens:
        return ""
    end = "first" if trace.label.startswith("history") else "last"
    return f" Shown: the {end} {last - first:,} of the step’s {trace.tokens:,} tokens."


def printable(text: str, font: str) -> str:
    """A token as a figure can show it: line breaks and tabs as signs, □ for what the font lacks."""
    if not text:
        return "·"
    known = _characters(font)
    signs = {"\n": "↵", "\t": "→", "\r": "↵"}
    return "".join(signs.get(char) or (char if ord(char) in known and char.isprintable() else "□") for char in text)


def _lines(pieces: list[str], beta: np.ndarray, room: int) -> tuple[list[list[tuple[int, str, float]]], bool]:
    """Lines of (column, character, β), broken at line breaks and at `room` characters; whether any was lost."""
    lines, column, lost = [[]], 0, False
    for piece, value in zip(pieces, beta, strict=True):
        lost = lost or "□" in piece
        # A word is kept whole where the line has a place for it.
        if column + len(piece) > room >= len(piece):
            lines.append([])
            column = 0
        for char in piece:
            if column == room:
                lines.append([])
                column = 0
            lines[-1].append((column, char, float(value)))
            column += 1
            if char == "↵":
                lines.append([])
                column = 0
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines, lost


def _spread(beta: np.ndarray) -> str:
    known = beta[np.isfinite(beta)]
    if not known.size:
        return "nothing was written"
    return f"from {number(known.min())} to {number(known.max())}, mean {number(known.mean())}"


@cache
def _characters(font: str) -> frozenset[int]:
    """Code points that a font has."""
    path = font_manager.findfont(font)
    return frozenset(font_manager.get_font(path).get_charmap())


def _hex(colour: tuple[float, ...]) -> str:
    return matplotlib.colors.to_hex(colour)
