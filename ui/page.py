"""The page: its panels in their places, its events connected."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from .actions import keeping, looking, remembering, talking
from .actions.common import Page
from .panels.ask import ask_panel
from .panels.columns import columns
from .panels.header import header
from .panels.history import history_panel
from .panels.memory import memory_panel
from .panels.session import session_panel
from .registry import Full, Registry
from .workspace import Workspace

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "transcripts"
WAITING = 64  # events that may wait in the queue; more are told to come back
CACHE_S = (600, 3600)  # look every ten minutes for shown files that are older than an hour


def build_page(model, registry: Registry | None = None, examples: Path = EXAMPLES) -> gr.Blocks:
    """The page for a loaded model with at least one adapter.

    registry: where open pages are kept; one of the page's own by default. examples: folder of transcripts offered
    as chips. Theme and style go to launch(): see theme.launch_options.
    """
    registry = registry or Registry(lambda: Workspace(model))
    files = sorted(path for path in examples.glob("*.*") if path.suffix in (".json", ".md", ".txt"))
    with gr.Blocks(title="δ-mem playground", analytics_enabled=False, fill_width=True, delete_cache=CACHE_S) as page:
        key = gr.State(None)
        header(model)
        with gr.Row(elem_id="dm-body"):
            with gr.Column(elem_id="dm-rail", scale=0, min_width=340):
                history = history_panel(files)
                ask = ask_panel(model)
                session = session_panel()
            with gr.Column(elem_id="dm-main", scale=1, min_width=320):
                arms = columns()
                memory = memory_panel(model)
        parts = Page(model, registry, key, history, ask, session, arms, memory)
        changes = [*remembering.wire(parts), *talking.wire(parts), *keeping.wire(parts)]
        looking.wire(parts, changes)

        def open_page(request: gr.Request):
            try:
                return registry.open(request.session_hash), gr.Button(interactive=True)
            except Full as error:
                gr.Warning(str(error))
                return None, gr.Button(interactive=False)

        def close_page(request: gr.Request):
            registry.close_page(request.session_hash)

        page.load(
            open_page, None, [key, arms.send], api_visibility="private", show_progress="hidden", concurrency_limit=None
        )
        page.unload(close_page)
    page.queue(api_open=False, max_size=WAITING)
    return page
