"""The memory's maps: the newest after every step, others by slider, by click, as files."""

from __future__ import annotations

import gradio as gr

from ..panels.memory import Maps
from .common import DRAW, Page, excused
from .keeping import PRESS


def wire(page: Page, changes: list) -> None:
    """Connect the events; `changes` are those after which the memory has changed."""
    panel = page.memory

    @excused
    def newest(key, layer, head):
        workspace = page.registry.get(key)
        maps = Maps(workspace)
        if maps.empty:
            return {panel.empty: gr.HTML(visible=True), panel.full: gr.Column(visible=False)}
        last = len(maps.shots) - 1
        if not workspace.seen:
            layer, workspace.seen = maps.strongest(last), True
        layers, heads = maps.shots[last].states.shape[:2]
        layer, head = min(layer, layers - 1), min(head, heads - 1)
        return {
            panel.empty: gr.HTML(visible=False),
            panel.full: gr.Column(visible=True),
            panel.turn: gr.Slider(maximum=max(last, 1), value=last, interactive=last > 0),
            panel.layer: gr.Slider(maximum=max(layers - 1, 1), value=layer),
            panel.head: gr.Radio([(str(i + 1), i) for i in range(heads)], value=head, visible=heads > 1),
            **_images(maps, last, layer, head),
        }

    @excused
    def turned(key, turn, layer, head):
        return _images(Maps(page.registry.get(key)), turn, layer, head)

    @excused
    def layered(key, turn, layer, head):
        maps = Maps(page.registry.get(key))
        return {image: maps.file(which, turn, layer, head) for which, image in _pairs() if which != "gates"}

    @excused
    def headed(key, turn, layer, head):
        return Maps(page.registry.get(key)).file("layer", turn, layer, head)

    @excused
    def clicked(key, event: gr.SelectData):
        found = Maps(page.registry.get(key)).layout().layer_at(*event.index)
        return gr.skip() if found is None else found

    def _pairs():
        return (("atlas", panel.atlas), ("layer", panel.layer_image), ("gates", panel.gates))

    def _images(maps, turn, layer, head):
        shown = {image: maps.file(which, turn, layer, head) for which, image in _pairs()}
        return {panel.moment: maps.moment(turn), **shown}

    def vector(which):
        @excused
        def draw(key, turn, layer, head):
            return gr.DownloadButton(value=Maps(page.registry.get(key)).file(which, turn, layer, head, "svg"))

        return draw

    place = [page.key, panel.turn, panel.layer, panel.head]
    everything = {panel.empty, panel.full, panel.turn, panel.moment, panel.layer, panel.head, *panel.images}
    for event in changes:
        event.then(newest, [page.key, panel.layer, panel.head], everything, **DRAW)
    # While a slider is dragged, only its last position is drawn.
    late = {**DRAW, "trigger_mode": "always_last"}
    panel.turn.input(turned, place, {panel.moment, *panel.images}, **late)
    panel.layer.input(layered, place, {panel.atlas, panel.layer_image}, **late)
    panel.head.input(headed, place, panel.layer_image, **late)
    picked = panel.atlas.select(clicked, page.key, panel.layer, **DRAW)
    picked.then(layered, place, {panel.atlas, panel.layer_image}, **DRAW)
    for which, button in panel.svg.items():
        ready = button.click(vector(which), place, panel.file, **DRAW)
        ready.success(None, js=PRESS % panel.file.elem_id, api_visibility="private")
