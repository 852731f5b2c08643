"""Step 3: keep a session, take one up again, start over."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from .header import step


@dataclass
class SessionPanel:
    save: gr.Button
    file: gr.DownloadButton
    load: gr.UploadButton
    reset: gr.Button
    report: gr.Button
    cancel: gr.Button
    report_file: gr.DownloadButton
    status: gr.HTML


def session_panel() -> SessionPanel:
    with gr.Column(elem_classes="dm-panel", elem_id="session-panel"):
        step(3, "Session", "All columns with their memories in one file, or a fresh start.", "session-title")
        with gr.Row(elem_classes="dm-buttons"):
            save = gr.Button("Save", elem_id="session-save", min_width=0)
            load = gr.UploadButton("Load", elem_id="session-load", min_width=0)
            reset = gr.Button("Reset", elem_id="session-reset", variant="stop", min_width=0)
        with gr.Row(elem_classes="dm-buttons"):
            report = gr.Button("Report (ZIP)", elem_id="session-report", min_width=0, scale=3)
            cancel = gr.Button("Cancel", interactive=False, elem_id="report-cancel", min_width=0, scale=1)
        gr.HTML(
            '<div class="dm-faint">Every figure as PNG and SVG, all numbers as CSV, the probes, and what ran.</div>'
        )
        # The browser fetches a file only from a button that has it already: this one is pressed when it does.
        file = gr.DownloadButton("Saved session", visible="hidden", elem_id="session-file")
        report_file = gr.DownloadButton("Report", visible="hidden", elem_id="report-file")
        status = gr.HTML("", elem_id="session-status", elem_classes="dm-status")
    return SessionPanel(save, file, load, reset, report, cancel, report_file, status)
