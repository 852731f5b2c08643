"""The figures of one page's memories: drawn when asked for, and kept while they may be asked for again."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from deltamem.compare.figures import (
    LIGHT,
    AtlasLayout,
    Look,
    Picture,
    Source,
    change_atlas,
    csv_text,
    file_label,
    gate_map,
    influence_map,
    layer_change,
    layer_norms,
    layer_states,
    norm_map,
    png,
    size_limit,
    spectrum,
    state_limit,
    states_atlas,
    svg,
    token_html,
    token_rows,
    token_text,
    when,
)
from deltamem.runtime.settings import layer_numbers

from . import words
from .jobs import drain
from .kept import Kept
from .panels.header import adapter_name
from .stepping import branch_at
from .workspace import Column, Workspace

# The tabs with their figures, in order.
TABS = {
    "states": ("atlas", "layer"),
    "gates": ("gates",),
    "change": ("change", "layer_change"),
    "size": ("norms", "spectrum"),
    "tokens": ("tokens",),
    "influence": ("influence",),
}
BEFORE = ""  # compare with the step before
PICTURES, TRACES, FILES = 48, 8, 16  # kept per page


class NoFigure(Exception):
    """Why a figure cannot be shown, in a sentence for the user."""


@dataclass(frozen=True)
class Place:
    """What is looked at. arm: a column's key. turn: index of its snapshot. against: `BEFORE`, or "arm/label".

    Whatever does not exist (any more) is moved to the nearest that does.
    """

    arm: str | None = None
    turn: int = 0
    layer: int = 0
    head: int = 0
    against: str = BEFORE


_KEPT: WeakKeyDictionary[Workspace, Kept] = WeakKeyDictionary()


class Maps:
    """The figures of a page's memory columns at one place."""

    def __init__(self, workspace: Workspace, place: Place = Place()):
        self.workspace = workspace
        self.arms = {key: arm for key, arm in workspace.arms.items() if arm.session.memory}
        self.shots = {key: arm.session.snapshots for key, arm in self.arms.items()}
        self.kept = _KEPT.setdefault(workspace, Kept())
        key = place.arm if place.arm in self.arms else next(iter(self.arms), None)
        if key is not None:
            layers, heads = self.shots[key][0].states.shape[:2]
            place = replace(
                place,
                arm=key,
                turn=_within(place.turn, len(self.shots[key])),
                layer=_within(place.layer, layers),
                head=_within(place.head, heads),
            )
            if place.against not in [value for _, value in self.others(key)]:
                place = replace(place, against=BEFORE)
        self.place = place

    @property
    def empty(self) -> bool:
        """Whether nothing was written in any column."""
        return all(shot.label == "start" for shots in self.shots.values() for shot in shots)

    @property
    def shot(self):
        return self.shots[self.place.arm][self.place.turn]

    @property
    def session(self):
        return self.arms[self.place.arm].session

    @cached_property
    def limit(self) -> float:
        """The scale of the states: one for all turns and columns."""
        return state_limit(shot for shots in self.shots.values() for shot in shots)

    @cached_property
    def size_limit(self) -> float:
        return size_limit(shot for shots in self.shots.values() for shot in shots)

    def titles(self) -> list[tuple[str, str]]:
        """(title, key) of the columns with a memory."""
        return [(title(arm), key) for key, arm in self.arms.items()]

    def source(self, key: str) -> Source:
        session = self.arms[key].session
        adapter = adapter_name(self.workspace.model, session.adapter)
        if session.strength != 1:
            adapter += f", strength {session.strength:g}"
        return Source(self.workspace.model.name, adapter, title(self.arms[key]) if len(self.arms) > 1 else "")

    def layer_label(self) -> str:
        """What the choice of a layer is called; it counts the layers that have a memory, which may not be all."""
        numbers = sorted(layer_numbers(self.shot.layers))
        if numbers == list(range(len(numbers))):
            return "Layer"
        starts = [n for n in numbers if n - 1 not in numbers]
        ends = [n for n in numbers if n + 1 not in numbers]
        spans = [f"{start}–{end}" if end > start else str(start) for start, end in zip(starts, ends, strict=True)]
        return f"Layer, counted from 0 among those with a memory: {', '.join(spans)}"

    def strongest(self) -> int:
        """The layer whose state is largest: the one most worth looking at."""
        return int(layer_norms(self.shot).argmax())

    def layout(self, look: Look) -> AtlasLayout:
        layers, heads, rank, _ = self.shot.states.shape
        return AtlasLayout(layers, heads, rank, look.width)

    def others(self, arm: str | None = None) -> list[tuple[str, str]]:
        """(words, value) of everything that the shown state can be compared with."""
        arm = arm or self.place.arm
        found = [("the step before it", BEFORE)]
        for key in (arm, *(key for key in self.arms if key != arm)):
            begin = "" if key == arm else f"{title(self.arms[key])}, "
            found += [(f"{begin}{when(shot.label)}", f"{key}/{shot.label}") for shot in self.shots[key]]
        return found

    def other(self):
        """(snapshot, arm's key) that the shown state is compared with."""
        arm, turn = self.place.arm, self.place.turn
        if self.place.against != BEFORE:
            key, label = self.place.against.rsplit("/", 1)
            return next(shot for shot in self.shots[key] if shot.label == label), key
        if turn:
            return self.shots[arm][turn - 1], arm
        nothing = np.full_like(self.shot.beta, np.nan)
        empty = np.zeros_like(self.shot.states)
        return replace(self.shot, label="start", states=empty, beta=nothing, lam=nothing, written_tokens=0), arm

    @property
    def measured(self) -> bool:
        """Whether the shown step's trace is at hand."""
        return self._trace_key() in self.kept.traces

    def trace(self):
        """The shown step, token by token. Raises NoFigure, or SessionError while the column is answering."""
        shot = self.shot
        if shot.label == "start":
            raise NoFigure("Nothing was written yet at this step: choose a later one.")
        if not shot.label.startswith(("history", "turn")):
            raise NoFigure("At this step a state was put in place and no token was read: choose another one.")

        def measure():
            # A copy: where a GPU is lent, a session comes back from it as it went, whatever it did meanwhile.
            return drain(self.workspace.device.run("trace", [self.session.branch()], threading.Event(), shot.label))

        return self.kept.get(self.kept.traces, TRACES, self._trace_key(), (shot,), measure)

    def picture(self, which: str, look: Look = LIGHT) -> Picture:
        """One of the figures named in TABS. Raises NoFigure when there is nothing to show, or SessionError."""
        place, shot, source = self.place, self.shot, self.source(self.place.arm)
        if which == "atlas":
            return states_atlas(shot, source, self.limit, place.layer, look)
        if which == "layer":
            return layer_states(shot, place.layer, source, self.limit, place.head, look)
        if which == "gates":
            return gate_map(shot, source, look)
        if which == "norms":
            return norm_map(self.shots[place.arm][: place.turn + 1], source, self.size_limit, look)
        if which == "spectrum":
            return spectrum(shot, source, self.size_limit, look)
        if which in ("tokens", "influence"):
            return {"tokens": token_text, "influence": influence_map}[which](self.trace(), source, look)
        before, key = self.other()
        try:
            if which == "change":
                return change_atlas(shot, source, before, self.limit, self.source(key), place.layer, look)
            return layer_change(shot, place.layer, source, before, self.limit, self.source(key), place.head, look)
        except ValueError as error:
            raise NoFigure(str(error)) from None

    def shown(self, which: str, look: Look) -> tuple[str, str, str]:
        """(path of the PNG, alternative text, table as HTML) of a figure, drawn only when it was not."""
        place = self.place
        drawn = (which, look.ground, look.width, place)
        key = (*drawn, id(self.shot), self.source(place.arm), self.limit, self.size_limit)
        of = (self.shot, *self.shots[place.arm][: place.turn])
        if which in ("change", "layer_change"):
            other, arm = self.other()
            # What stands for an empty memory is made anew each time.
            key, of = (*key, self.source(arm), other.label, 0 if other.label == "start" else id(other)), (*of, other)

        def make():
            picture = self.picture(which, look)
            path = self._path("figure", f"{picture.name}.png")
            path.write_bytes(png(picture.figure))
            return str(path), picture.alt, words.number_table(picture.rows)

        found = self.kept.get(self.kept.pictures, PICTURES, key, of, make)
        if not Path(found[0]).exists():  # Gradio removes files that were shown long ago
            self.kept.pictures.pop(key, None)
            found = self.kept.get(self.kept.pictures, PICTURES, key, of, make)
        return found

    def tokens(self, look: Look) -> tuple[str, str]:
        """(marked text, table), both HTML, of the shown step."""
        trace = self.trace()
        return token_html(trace, look), words.number_table(token_rows(trace))

    def file(self, which: str, kind: str) -> str:
        """Path of a file for download, its name saying what it shows. kind: "png", "svg" or "csv"; always light."""
        picture = self.picture(which)
        path = self._download(f"delta-mem-{picture.name}.{kind}")
        if kind == "csv":
            path.write_text(csv_text(picture.rows), encoding="utf-8-sig")  # what spreadsheets take for UTF-8
        else:
            path.write_bytes({"png": png, "svg": svg}[kind](picture.figure))
        return str(path)

    def branch(self) -> str:
        """Path of a session file with the shown column as it was at the shown step."""
        session = branch_at(self.session, self.shot.label)
        path = self._download(f"delta-mem-{file_label(self.shot.label)}.safetensors")
        session.save(path)
        return str(path)

    def moment(self) -> str:
        """The shown step in words."""
        shot = self.shot
        sentence = when(shot.label)
        written = words.many(shot.written_tokens, "token")
        return (
            f'<div class="dm-moment"><b>{sentence[0].upper()}{sentence[1:]}</b><br>{written} written in this step</div>'
        )

    def _trace_key(self) -> Hashable:
        return id(self.shot), self.session.strength, tuple(self.session.layers_off)

    def _download(self, name: str) -> Path:
        path = self._path("file", name)
        self.kept.get(self.kept.files, FILES, path, (), lambda: (path,))
        return path

    def _path(self, kind: str, name: str) -> Path:
        """A new place each time: the same address with other contents would come out of the browser's cache."""
        place = Path(self.workspace.folder) / f"{kind}-{next(self.kept.numbers)}"
        place.mkdir()
        return place / name


def title(column: Column) -> str:
    """What a column is called, and what is spoilt in it."""
    return column.arm.title + (f" (control: {column.warning})" if column.control else "")


def _within(value, size: int) -> int:
    return min(max(int(value or 0), 0), size - 1)
