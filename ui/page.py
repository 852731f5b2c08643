"""The page: its panels in their places, its events connected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from .actions import (
    calling,
    checking,
    choosing,
    comparing,
    doubting,
    keeping,
    looking,
    probing,
    remembering,
    reporting,
    talking,
)
from .actions.common import Page
from .gallery import gallery
from .jobs import Device
from .panels.arms import arms_panel
from .panels.ask import ask_panel
from .panels.columns import columns
from .panels.difference import difference_panel
from .panels.guide import guide
from .panels.header import header
from .panels.history import history_panel
from .panels.integrity import CHECKING
from .panels.memory import memory_panel
from .panels.probes import probes_panel
from .panels.session import session_panel
from .registry import Full, Registry
from .workspace import Workspace

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "transcripts"
SWEEP_S = 60  # between two looks for pages that nobody uses any more
WAITING = 64  # events that may wait in the queue; more are told to come back
CACHE_S = (600, 3600)  # look every ten minutes for shown files that are older than an hour


def build_page(
    model,
    registry: Registry | None = None,
    examples: Path = EXAMPLES,
    local: bool = False,
    lend: Callable | None = None,
) -> gr.Blocks:
    """The page for a loaded model with at least one adapter.

    registry: where open pages are kept; one of the page's own by default. examples: folder of transcripts offered
    as chips. local: whether visitors may name folders of this machine, to read adapters from. Theme and style go to
    launch(): see theme.launch_options. lend: spaces.GPU where a GPU is lent call by call.
    """
    device = Device(model, lend)
    if registry is None:  # one without pages counts as false
        registry = Registry(lambda: Workspace(model, device))
    registry.sweep_every(SWEEP_S)
    shown = gallery(examples)
    with gr.Blocks(title="δ-mem playground", analytics_enabled=False, fill_width=True, delete_cache=CACHE_S) as page:
        key = gr.State(None)
        with gr.Row(elem_id="dm-top"):
            header(model)
            integrity = gr.HTML(CHECKING, elem_id="integrity")
        guide()
        with gr.Row(elem_id="dm-body"):
            with gr.Column(elem_id="dm-rail", scale=0, min_width=340):
                history = history_panel(shown)
                ask = ask_panel(model, shown)
                session = session_panel()
            with gr.Column(elem_id="dm-main", scale=1, min_width=320):
                arms = arms_panel(model, local)
                fresh = Workspace(model)
                answers = columns(fresh)
                with gr.Tabs(elem_id="dm-below"):
                    with gr.Tab("Memory", id="memory"):
                        memory = memory_panel(model)
                    with gr.Tab("Recall probes", id="probes"):
                        probes = probes_panel()
                    with gr.Tab("Difference", id="difference"):
                        difference = difference_panel(fresh)
        parts = Page(model, registry, key, history, ask, session, arms, answers, memory, probes, difference)
        changes = [
            *remembering.wire(parts),
            *choosing.wire(parts),
            *talking.wire(parts),
            *doubting.wire(parts, shown),
            *keeping.wire(parts),
            *looking.wire_undo(parts),
        ]
        looking.wire(parts, changes)
        probing.wire(parts, shown)
        reporting.wire(parts)
        calling.wire(device)
        comparing.wire(parts, changes)

        def open_page(request: gr.Request):
            try:
                return registry.open(request.session_hash), gr.Button(interactive=True)
            except Full as error:
                gr.Warning(str(error))
                return None, gr.Button(interactive=False)

        def close_page(request: gr.Request):
            # Gradio would keep what it knows of a closed page, about 0.8 MB, and has no call to drop it.
            page.state_holder.session_data.pop(request.session_hash, None)
            page.state_holder.time_last_used.pop(request.session_hash, None)
            registry.close_page(request.session_hash)

        opened = page.load(
            open_page,
            None,
            [key, answers.send],
            api_visibility="private",
            show_progress="hidden",
            concurrency_limit=None,
        )
        checking.wire(parts, device, opened, changes, integrity)
        page.unload(close_page)
    page.queue(api_open=False, max_size=WAITING)
    return page
