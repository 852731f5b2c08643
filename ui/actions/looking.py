"""The memory's maps: the newest after every step, others by slider, tab and click; files; going back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import gradio as gr

from deltamem.compare.figures import LOOKS
from deltamem.core.errors import DeltaMemError

from .. import words
from ..maps import TABS, Maps, NoFigure, Place
from ..panels import columns as columns_view
from ..panels.memory import KINDS
from ..talk import take_back
from .common import DRAW, MODEL, SCHEME, Page, Refused, excused, excused_steps
from .keeping import PRESS

LAST = sys.maxsize  # beyond every step: the newest is shown
MEASURED = ("tokens", "influence")  # tabs whose figures need the step's trace


def wire_undo(page: Page) -> list:
    """Connect the way back; returns the events after which the memory has changed."""

    @excused
    def undo(key):
        workspace = page.registry.get(key)
        with workspace.claim():
            if take_back(workspace) is None:
                raise Refused("There is no turn to take back: Reset empties the memory.")
        return columns_view.draw(page.columns, workspace)

    return [page.memory.undo.click(undo, page.key, page.columns.outputs, **MODEL)]


def wire(page: Page, changes: list) -> None:
    """Connect the events; `changes` are those after which the memory has changed."""
    panel = page.memory

    def maps_at(key, *place) -> Maps:
        return Maps(page.registry.get(key), Place(*place))

    @excused_steps
    def newest(key, tab, arm, layer, head, against, look):
        maps = maps_at(key, arm, LAST, layer, head, against)
        if maps.empty:
            yield {panel.empty: gr.HTML(visible=True), panel.full: gr.Column(visible=False)}
            return
        if not maps.workspace.seen:
            maps.workspace.seen = True
            maps = maps_at(key, arm, LAST, maps.strongest(), head, against)
        yield {panel.empty: gr.HTML(visible=False), panel.full: gr.Column(visible=True), **_controls(maps)}
        yield from _figures(maps, tab, look)

    @excused_steps
    def moved(key, tab, *values):
        *place, look = values
        maps = maps_at(key, *place)
        if not maps.empty:
            yield {panel.moment: maps.moment()}
            yield from _figures(maps, tab, look)

    @excused_steps
    def chosen_arm(key, tab, *values):
        *place, look = values
        maps = maps_at(key, *place)
        if not maps.empty:
            yield _controls(maps)
            yield from _figures(maps, tab, look)

    def _controls(maps: Maps) -> dict:
        """The places that there are to look at."""
        place, (layers, heads) = maps.place, maps.shot.states.shape[:2]
        last, arms = len(maps.shots[place.arm]) - 1, maps.titles()
        return {
            panel.arm: gr.Radio(arms, value=place.arm, visible=len(arms) > 1),
            panel.turn: gr.Slider(maximum=max(last, 1), value=place.turn, interactive=last > 0),
            panel.layer: gr.Slider(
                maximum=max(layers - 1, 1), value=place.layer, interactive=layers > 1, label=maps.layer_label()
            ),
            panel.head: gr.Radio([(str(i + 1), i) for i in range(heads)], value=place.head, visible=heads > 1),
            panel.against: gr.Dropdown(maps.others(), value=place.against),
            panel.moment: maps.moment(),
        }

    def _figures(maps: Maps, tab: str, look: str) -> Iterator[dict]:
        """The figures of one tab: the others are drawn when their tab is opened."""
        shown, note = {}, ""
        if tab in MEASURED and not maps.measured:
            yield {panel.notes[tab]: words.note("Measuring: the tokens of this step are read once more…")}
        for which in TABS[tab]:
            part = panel.figures[which]
            try:
                if which == "tokens":
                    shown[part.image], shown[part.table] = maps.tokens(LOOKS[look])
                else:
                    path, alt, shown[part.table] = maps.shown(which, LOOKS[look])
                    shown[part.image] = gr.Image(value=path, alt_text=alt, visible=True)
            except (NoFigure, DeltaMemError) as error:
                note = str(error)
                shown[part.table] = ""
                shown[part.image] = "" if which == "tokens" else gr.Image(value=None, visible=False)
        pick = gr.Row(visible="layer" in TABS[tab] or "layer_change" in TABS[tab])
        yield {**shown, panel.pick: pick, panel.notes[tab]: words.note(note)}

    def opened(tab):
        def draw(key, *values):
            yield {panel.tab: tab}
            yield from moved(key, tab, *values)

        return draw

    @excused
    def clicked(key, arm, turn, layer, head, against, look, event: gr.SelectData):
        found = maps_at(key, arm, turn, layer, head, against).layout(LOOKS[look]).layer_at(*event.index)
        return gr.skip() if found is None else found

    def filed(which, kind):
        @excused
        def make(key, *place):
            try:
                return gr.DownloadButton(value=maps_at(key, *place).file(which, kind))
            except NoFigure as error:
                raise Refused(str(error)) from None

        return make

    @excused
    def branch(key, *place):
        return gr.DownloadButton(value=maps_at(key, *place).branch())

    def _download(button, make, inputs):
        ready = button.click(make, inputs, panel.file, **DRAW)
        ready.success(None, js=PRESS % panel.file.elem_id, api_visibility="private")

    spot = [page.key, *panel.place]
    view = [page.key, panel.tab, *panel.place, panel.look]
    # Without the step: after an undo the slider may still stand at one that there is no more.
    latest = [page.key, panel.tab, panel.arm, panel.layer, panel.head, panel.against, panel.look]
    outputs = panel.outputs
    drawn = {**DRAW, "js": SCHEME}
    for event in changes:
        event.then(newest, latest, outputs, **drawn)
    # While a slider is dragged, only its last position is drawn.
    late = {**drawn, "trigger_mode": "always_last"}
    for control in (panel.turn, panel.layer, panel.head, panel.against):
        control.input(moved, view, outputs, **late)
    panel.arm.input(chosen_arm, view, outputs, **late)
    for tab, part in panel.tabs.items():
        part.select(opened(tab), [page.key, *panel.place, panel.look], {panel.tab, *outputs}, **drawn)
    for which in ("atlas", "change"):
        picked = panel.figures[which].image.select(clicked, [*spot, panel.look], panel.layer, **drawn)
        picked.then(moved, view, outputs, **drawn)
    for which, part in panel.figures.items():
        for kind in KINDS:
            _download(part.files[kind], filed(which, kind), spot)
    _download(panel.branch, branch, spot)
