"""The probes: filling the table, planting facts, running, files."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import gradio as gr

from deltamem.compare.figures import LIGHT, LOOKS, png, probe_chart, svg
from deltamem.compare.probes import ProbeResults, plant, probes_from_rows, read_probes
from deltamem.transcripts import Transcript

from .. import words
from ..background import Stopped
from ..gallery import Example
from ..panels import probes as view
from ..panels.ask import sampling_of
from ..probing import probe, reading
from .common import NOW, PROBE, READ, SCHEME, Page, excused, guarded, other_messages, remove, unheard
from .remembering import bars, ready, show, transcript_parts


def wire(page: Page, examples: list[Example]) -> None:
    """Connect the events."""
    panel, ask = page.probes, page.ask

    @guarded(panel.status)
    def upload(key, path):
        try:
            page.registry.get(key)
            found = read_probes(path)
            said = f"{Path(path).name}: {words.many(len(found), 'probe')} read."
            yield {panel.table: view.rows(found), panel.status: words.note(said, "good")}
        finally:
            remove(path)

    @guarded(panel.status)
    def from_transcript(key):
        found = page.registry.get(key).probes
        yield {
            panel.table: view.rows(found),
            panel.status: words.note(f"{words.many(len(found), 'probe')} taken over."),
        }

    @guarded(panel.status)
    def plant_facts(key, facts, distractors, distance, seed):
        workspace = page.registry.get(key)
        messages, found = plant(int(facts), int(distractors), int(distance), int(seed or 0))
        transcript = Transcript(messages, "planted facts", [], [one.question for one in found])
        with workspace.reading.claim():
            workspace.probes = found
            yield from show(page, workspace, "Planted facts", transcript)
            yield ready(page, workspace, "Planted facts")
        said = "Made: the transcript stands in step 1, press “Write into memory” there, then run the probes."
        yield {panel.table: view.rows(found), panel.status: words.note(said, "good")}

    @guarded(panel.status, lambda: idle(panel))
    def run(key, table, controls, limit, other, _max_tokens, *values):
        *sampling, look = values
        workspace = page.registry.get(key)
        with workspace.probing.claim():
            found = probes_from_rows(table)
            drawn = sampling_of(None, *sampling)
            drawn.pop("max_new_tokens")
            yield {panel.run: gr.Button(interactive=False), panel.cancel: gr.Button(interactive=True)}
            spoilt = other_messages(workspace, other, examples) if controls else []
            try:
                with closing(
                    probe(workspace, found, controls, spoilt, int(limit or view.ANSWER_LIMIT), **drawn)
                ) as steps:
                    results = yield from _running(panel, steps)
                missed = unheard(workspace)
                status = words.note(f"{told(results)} {missed}".strip(), "warn" if missed else "good")
                workspace.results = results
                yield {panel.status: words.note("Drawing…"), **_files(page, workspace, look)}
            except Stopped:
                status = words.note("Cancelled before the first probe was answered by every column.")
        yield {panel.status: status, **idle(panel)}

    @excused
    def cancel(key):
        page.registry.get(key).probing.stop.set()
        return gr.Button(interactive=False)

    both = {panel.table, panel.status}
    panel.file.upload(upload, [page.key, panel.file], both, **READ)
    panel.example.click(from_transcript, page.key, both, **READ)
    panel.clear.click(lambda: view.rows([]), None, panel.table, **NOW)
    planted = [page.key, panel.facts, panel.distractors, panel.distance, panel.seed]
    panel.plant.click(plant_facts, planted, both | transcript_parts(page), **READ)
    inputs = [page.key, panel.table, panel.controls, panel.limit, ask.other, *ask.sampling, page.memory.look]
    panel.run.click(run, inputs, {panel.status, panel.run, panel.cancel, *panel.shown}, js=SCHEME, **PROBE)
    panel.cancel.click(cancel, page.key, panel.cancel, **NOW)


def idle(panel) -> dict:
    return {panel.run: gr.Button(interactive=True), panel.cancel: gr.Button(interactive=False)}


def told(results: ProbeResults) -> str:
    """What the run came to."""
    asked = f"{words.many(results.asked, 'probe')} asked of {words.many(len(results.titles), 'column')}."
    return f"Done: {asked}" if results.complete else f"Stopped: {asked}"


def _running(panel, steps):
    """Progress while the probes run; returns their results."""
    found = []

    def kept():
        found.append((yield from steps))

    for bar in bars("Asking", kept(), unit="probe"):
        yield {panel.status: bar}
    return found[0]


def _files(page: Page, workspace, look: str) -> dict:
    """The results as the panel shows them, their files in the workspace's folder. Files for papers are light."""
    results, folder = workspace.results, workspace.folder
    caption = f"{page.model.name} · answers of at most {results.settings['max_new_tokens']} tokens."
    light = probe_chart(results.bars(), caption, LIGHT).figure
    files = {
        "answers.csv": results.to_csv().encode(),
        "summary.csv": results.summary_csv().encode(),
        "chart.png": png(light),
        "chart.svg": svg(light),
    }
    for name, content in files.items():
        (folder / f"delta-mem-probes-{name}").write_bytes(content)
    shown = folder / "probes-shown.png"
    shown.write_bytes(png(probe_chart(results.bars(), caption, LOOKS[look]).figure))
    said = reading(results, [column.now for column in workspace.arms.values()])
    paths = [str(folder / f"delta-mem-probes-{name}") for name in files]
    return view.draw(page.probes, results, said, str(shown), paths)
