"""Recall probes: a table of questions with known answers, and what every column made of them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import gradio as gr

from deltamem.compare.probes import ProbeResults
from deltamem.compare.probes.planted import LIMITS

from .. import words
from .header import step

HEADERS = ["Question", "Accepted answers"]
FILES = {
    "csv": "Every answer as CSV",
    "summary-csv": "Summary as CSV",
    "chart-png": "Chart as PNG",
    "chart-svg": "Chart as SVG",
}
ROWS = 4  # empty rows that a table is given, to type into
ANSWER_LIMIT = 24
NOTHING = (
    '<div class="dm-empty dm-tall">What every column recalls appears here: a table, a chart and each answer, '
    "scored by exact match, by whether it contains the answer, and by token F1.</div>"
)
METRICS = {
    "contains": ("Contains", "the accepted answer stands somewhere in it"),
    "exact": ("Exact match", "the answer is the accepted one, but for case, articles and punctuation"),
    "f1": ("Token F1", "how far its words and those of the accepted answer are the same"),
}


@dataclass
class ProbesPanel:
    table: gr.Dataframe
    file: gr.UploadButton
    example: gr.Button
    clear: gr.Button
    facts: gr.Slider
    distractors: gr.Slider
    distance: gr.Slider
    seed: gr.Number
    plant: gr.Button
    controls: gr.Checkbox
    limit: gr.Slider
    run: gr.Button
    cancel: gr.Button
    status: gr.HTML
    results: gr.HTML
    chart: gr.Image
    answers: gr.HTML
    downloads: gr.Row
    files: list[gr.DownloadButton]

    @property
    def shown(self) -> set:
        """What `draw` draws."""
        return {self.results, self.chart, self.answers, self.downloads, *self.files}


def probes_panel() -> ProbesPanel:
    with gr.Column(elem_classes="dm-panel", elem_id="probes-panel"):
        step(
            None,
            "Recall probes",
            "Questions whose answers you know, asked of every column as it stands. The conversations do not change.",
            "probes-title",
        )
        with gr.Row():
            with gr.Column(scale=3, min_width=300):
                table = gr.Dataframe(
                    value=rows([]),
                    headers=HEADERS,
                    type="array",
                    datatype="str",
                    column_count=2,
                    column_widths=["60%", "40%"],
                    interactive=True,
                    wrap=True,
                    label="Probes; several accepted answers are parted by |",
                    max_height=300,
                    buttons=[],
                    elem_id="probes-table",
                )
                with gr.Row(elem_classes="dm-buttons"):
                    file = gr.UploadButton("Upload CSV or JSONL", size="sm", min_width=0, elem_id="probes-file")
                    example = gr.Button(
                        "Probes of the transcript", size="sm", min_width=0, interactive=False, elem_id="probes-example"
                    )
                    clear = gr.Button("Empty the table", size="sm", min_width=0, elem_id="probes-clear")
                with gr.Accordion("Plant facts: make a transcript with its probes", open=False, elem_id="probes-plant"):
                    with gr.Row():
                        facts = _number(3, "facts", "Facts asked for")
                        distractors = _number(3, "distractors", "Similar facts not asked for")
                    with gr.Row():
                        distance = _number(2, "distance", "Turns of small talk after them")
                        seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="plant-seed", min_width=120)
                    plant = gr.Button("Make transcript and probes", size="sm", elem_id="plant-make")
            with gr.Column(scale=2, min_width=260):
                controls = gr.Checkbox(
                    False,
                    label="Negative controls too",
                    info="Asks each memory again with a zero state, with another transcript's, and with shuffled rows",
                    elem_id="probes-controls",
                )
                limit = gr.Slider(
                    4,
                    128,
                    ANSWER_LIMIT,
                    step=1,
                    label="Answer limit, tokens",
                    info="Temperature, top-p and seed: as in step 2",
                    buttons=[],
                    elem_id="probes-limit",
                )
                with gr.Row(elem_classes="dm-buttons"):
                    run = gr.Button("Run probes", variant="primary", min_width=0, scale=2, elem_id="probes-run")
                    cancel = gr.Button("Cancel", interactive=False, min_width=0, scale=1, elem_id="probes-cancel")
                status = gr.HTML("", elem_id="probes-status", elem_classes="dm-status")
        results = gr.HTML(NOTHING, elem_id="probes-results")
        chart = gr.Image(
            label="Chart of the recall",
            alt_text="Chart of the recall",
            show_label=False,
            format="png",
            type="filepath",
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="probes-chart",
            elem_classes="dm-map",
        )
        answers = gr.HTML("", elem_id="probes-answers")
        with gr.Row(visible=False, elem_classes="dm-buttons") as downloads:
            files = [
                gr.DownloadButton(label, size="sm", scale=0, min_width=150, elem_id=f"probes-{name}")
                for name, label in FILES.items()
            ]
    return ProbesPanel(
        table, file, example, clear, facts, distractors, distance, seed, plant, controls, limit, run, cancel, status,
        results, chart, answers, downloads, files,
    )  # fmt: skip


def rows(probes: list) -> list[list[str]]:
    """Probes as the table's rows, with empty ones below."""
    filled = [[probe.question, " | ".join(probe.answers)] for probe in probes]
    return [*filled, *[["", ""] for _ in range(max(ROWS - len(filled), 1))]]


def draw(panel: ProbesPanel, results: ProbeResults, said: list[str], chart: str, files: list[str]) -> dict:
    """Results in numbers and words.

    said: what they say, in sentences. chart: path of the picture to show; files: paths for download, in FILES' order.
    """
    sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in said)
    return {
        panel.results: f'<ul class="dm-said">{sentences}</ul>{_summary(results)}',
        panel.chart: gr.Image(value=chart, visible=True),
        panel.answers: _answers(results),
        panel.downloads: gr.Row(visible=True),
        **{button: gr.DownloadButton(value=path) for button, path in zip(panel.files, files, strict=True)},
    }


def _summary(results: ProbeResults) -> str:
    titles = "".join(
        f'<th scope="col" title="{escape(about)}">{escape(title)}</th>' for title, about in METRICS.values()
    )
    lines = []
    for row in results.summary():
        cells = "".join(f"<td><b>{row[name]:.0%}</b> {_interval(row, name)}</td>" for name in METRICS)
        lines.append(f'<tr><th scope="row">{escape(row["arm"])}</th>{cells}</tr>')
    asked = words.many(results.asked, "probe")
    note = "" if results.complete else f" Stopped after {asked} of {len(results.probes):,}."
    return (
        f'<p class="dm-faint">Means over {asked}, with 95% intervals.{note}</p>'
        '<div class="dm-table dm-wide" tabindex="0" role="region" aria-label="Results of the probes">'
        '<table><thead><tr><th scope="col">Column</th>'
        f"{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _interval(row: dict, name: str) -> str:
    """The interval’s ends; nothing for one of no width, as for F1s that are all the same."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"<small>{low:.0%}–{high:.0%}</small>" if low < high else ""


def _answers(results: ProbeResults) -> str:
    header, found = results.table()
    titles = "".join(f'<th scope="col">{escape(str(title))}</th>' for title in header)
    lines = []
    for row in found:
        cells = []
        for index, cell in enumerate(row):
            mark = {"✓": "dm-right", "✗": "dm-wrong"}.get(str(cell)[:1]) if index > 2 else None
            cells.append(f'<td class="{mark}">{escape(str(cell))}</td>' if mark else f"<td>{escape(str(cell))}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<details class="dm-details" open><summary>Every answer</summary><div class="dm-table dm-wide dm-tallest" '
        'tabindex="0" role="region" aria-label="Every answer"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _number(value: int, name: str, label: str) -> gr.Slider:
    least, most = LIMITS[name]
    return gr.Slider(least, most, value, step=1, label=label, buttons=[], min_width=140, elem_id=f"plant-{name}")
