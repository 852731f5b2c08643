"""The report: one click, progress, a ZIP."""

from __future__ import annotations

from contextlib import closing

import gradio as gr

from .. import words
from ..background import Stopped
from ..workspace import Workspace
from .common import NOW, PROBE, Page, Refused, excused, guarded
from .keeping import PRESS
from .remembering import bars

FILE = "delta-mem-report.zip"


def wire(page: Page) -> None:
    """Connect the events."""
    panel = page.session

    @guarded(panel.status, lambda: idle(panel))
    def write(key, seed):
        yield {panel.report_file: gr.DownloadButton(value=None)}  # what fails now must not deliver an older file
        workspace = page.registry.get(key)
        if not workspace.steps:
            raise Refused("There is nothing to report yet: write a history, or ask something, first.")
        with workspace.reporting.claim():
            yield {panel.report: gr.Button(interactive=False), panel.cancel: gr.Button(interactive=True)}
            path = workspace.folder / FILE
            try:
                with closing(_steps(workspace, str(path), int(seed or 0))) as steps:
                    for bar in bars("Drawing the report", steps, unit="figure"):
                        yield {panel.status: bar}
                said = f"{FILE}, {words.size(path.stat().st_size)}: open report.html in it first."
                yield {panel.report_file: gr.DownloadButton(value=str(path))}
            except Stopped:
                said = "Cancelled: no report was written."
        yield {panel.status: words.note(said, "good"), **idle(panel)}

    @excused
    def cancel(key):
        page.registry.get(key).reporting.stop.set()
        return gr.Button(interactive=False)

    outputs = {panel.status, panel.report, panel.cancel, panel.report_file}
    written = panel.report.click(write, [page.key, page.ask.seed], outputs, **PROBE)
    written.success(None, js=PRESS % panel.report_file.elem_id, api_visibility="private")
    panel.cancel.click(cancel, page.key, panel.cancel, **NOW)


def idle(panel) -> dict:
    return {panel.report: gr.Button(interactive=True), panel.cancel: gr.Button(interactive=False)}


def _steps(workspace: Workspace, path: str, seed: int):
    """(done, total) figures of the report on copies of the columns, which may go on meanwhile."""
    with workspace.claim():
        arms = [column.now for column in workspace.arms.values()]
        copies = [column.session.branch() for column in workspace.arms.values()]
        histories = workspace.histories
        settings = {
            "history": [message for transcript in histories for message in transcript.messages],
            "name": ", ".join(transcript.name for transcript in histories),
            "other_name": workspace.lent,
            "probes": workspace.results,
            "refused": {
                column.now.key: column.failure
                for column in workspace.arms.values()
                if column.done < len(workspace.steps) and column.failure
            },
            "seed": workspace.turns[-1].sampling.get("seed", seed) if workspace.turns else seed,
        }
    yield from workspace.device.run("report", copies, workspace.reporting.stop, path, arms, settings)
