"""Which columns are shown, columns made by hand, and adapters read from elsewhere."""

from __future__ import annotations

from contextlib import closing

import gradio as gr

from .. import words
from ..arms import choose, make
from ..background import Stopped
from ..panels import arms as view
from ..panels import columns as columns_view
from ..workspace import MOST, Workspace
from .common import NOW, READ, Page, Refused, excused, guarded, queued


def wire(page: Page) -> list:
    """Connect the events; returns those after which other memories are shown."""
    panel, columns = page.arms, page.columns

    def shown(workspace: Workspace) -> dict:
        return {**view.draw(panel, workspace), **columns_view.draw_all(columns, workspace)}

    def change(workspace: Workspace, keys: list[str], replay: bool, status: gr.HTML):
        """Show the columns `keys`; the sentence about it goes to `status`."""
        before = dict(workspace.arms)
        try:
            with workspace.claim():
                with closing(choose(workspace, keys, replay)) as steps:
                    for step in steps:
                        yield {status: view.progress(*step), panel.cancel: gr.Button(visible=True)}
                told = view.told(before, workspace)
        except Stopped:
            told = words.note("Cancelled: the columns are as they were.")
        yield {status: told, panel.cancel: gr.Button(visible=False, interactive=True), **shown(workspace)}

    def guard(status):
        def back(key):
            return view.draw(panel, page.registry.get(key))

        def wrap(handler):
            @guarded(status, lambda: {panel.cancel: gr.Button(visible=False, interactive=True)})
            def run(key, *args):
                try:
                    yield from handler(key, *args)
                except Exception:
                    yield back(key)  # the chips say what is shown, not what could not be
                    raise

            return run

        return wrap

    @guard(panel.status)
    def chosen(key, keys, replay):
        yield from change(page.registry.get(key), keys, replay, panel.status)

    @guard(panel.own_status)
    def add(key, replay, *settings):
        workspace = page.registry.get(key)
        if len(workspace.arms) >= MOST:
            raise Refused(f"There are {MOST} columns, which is as many as fit: take one away above first.")
        own = make(workspace, **view.settings_of(*settings))
        if own in workspace.arms:
            raise Refused(f"“{workspace.known[own].title}” is shown already: change a setting.")
        yield from change(workspace, [*workspace.arms, own], replay, panel.own_status)

    @guarded(panel.own_status)
    def fetch(key, place):
        page.registry.get(key)
        if not place.strip():
            raise Refused("There is no adapter named yet: type a folder of this machine, or a hub id.")
        yield {panel.own_status: words.note(f"Reading the adapter {place.strip()[:80]}…")}
        label = view.label_of(page.model, place.strip())
        page.model.add_adapter(label, place.strip())
        yield {
            panel.own_status: words.note(f"{label} was read and fits: choose it above.", "good"),
            panel.adapter: gr.Dropdown(choices=view.adapters(page.model), value=label),
            panel.place: "",
        }

    @excused
    def cancel(key):
        page.registry.get(key).stop.set()
        return gr.Button(interactive=False)

    outputs = {panel.chosen, panel.cancel, *columns.everything}
    panel.cancel.click(cancel, page.key, panel.cancel, **NOW)
    if panel.fetch.visible:  # a hidden button's event can still be sent: without it there is nothing to send
        panel.fetch.click(fetch, [page.key, panel.place], {panel.own_status, panel.adapter, panel.place}, **READ)
    return [
        panel.chosen.input(
            chosen, [page.key, panel.chosen, panel.replay], {panel.status, *outputs}, **queued(panel.status)
        ),
        panel.add.click(
            add, [page.key, panel.replay, *panel.settings], {panel.own_status, *outputs}, **queued(panel.own_status)
        ),
    ]
