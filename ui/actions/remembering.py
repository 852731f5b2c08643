"""Choosing or uploading a transcript and writing it into the memories."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import gradio as gr

from deltamem.compare.errors import ProbeError
from deltamem.compare.probes import read_probes
from deltamem.transcripts import Transcript, read_transcript

from .. import words
from ..background import Stopped
from ..gallery import Example
from ..history import count_tokens, write, written_tokens
from ..panels import columns as columns_view
from ..panels import history as view
from ..panels import probes as probes_view
from ..workspace import Workspace
from .common import NOW, READ, Page, Refused, excused, guarded, queued, remove


def wire(page: Page) -> list:
    """Connect the events; returns those after which the memory has changed."""
    panel, columns = page.history, page.columns

    @guarded(panel.status)
    def upload(key, path, table):
        try:
            yield {panel.file: None}  # the drop zone is free for the next file at once
            workspace, name = page.registry.get(key), Path(path).name
            with workspace.reading.claim():
                yield {panel.status: words.note("Reading the file…")}
                transcript, probes = read_transcript(path), probes_in(path)
                yield from show(page, workspace, name, transcript)
            yield {**ready(page, workspace, name), **offer(page, workspace, probes, table)}
        finally:
            remove(path)

    def example(one: Example):
        @guarded(panel.status)
        def take(key, table):
            workspace = page.registry.get(key)
            with workspace.reading.claim():
                transcript, probes = one.read()
                yield from show(page, workspace, one.title, transcript)
            yield {**ready(page, workspace, one.title), **offer(page, workspace, probes, table)}

        return take

    def idle() -> dict:
        return {panel.cancel: gr.Button(interactive=False)}

    @guarded(panel.status, lambda: {**idle(), panel.write: gr.Button(interactive=True)})
    def write_history(key):
        workspace = page.registry.get(key)
        if not workspace.unwritten:
            raise Refused("There is no new history: drop a transcript, or choose an example, first.")
        with workspace.claim():
            yield {panel.write: gr.Button(interactive=False), panel.cancel: gr.Button(interactive=True)}
            try:
                with closing(write(workspace, workspace.transcript)) as steps:
                    for bar in bars("Writing", steps):
                        yield {panel.status: bar}
            except Stopped:
                status = words.note("Cancelled: the memory is as it was before.")
            else:
                status = written_line(workspace)
        yield {
            panel.status: status,
            panel.write: gr.Button(interactive=workspace.unwritten),
            **idle(),
            **columns_view.draw(columns, workspace),
        }

    @excused
    def cancel(key):
        page.registry.get(key).stop.set()
        return gr.Button(interactive=False)

    taken = transcript_parts(page) | {panel.file, page.probes.table, page.probes.example}
    panel.file.upload(upload, [page.key, panel.file, page.probes.table], taken, **READ)
    for button, one in panel.examples:
        button.click(example(one), [page.key, page.probes.table], taken, **READ)
    panel.cancel.click(cancel, page.key, panel.cancel, **NOW)
    outputs = {panel.status, panel.write, panel.cancel, *columns.shown}
    return [panel.write.click(write_history, page.key, outputs, **queued(panel.status))]


def transcript_parts(page: Page) -> set:
    """What `show` and `ready` draw."""
    panel = page.history
    return {panel.summary, panel.preview, panel.write, panel.status, page.columns.note, *page.columns.questions}


def written_line(workspace: Workspace) -> str:
    """What the memories hold of history, and what of it the prompts will show."""
    messages = words.many(sum(len(transcript.messages) for transcript in workspace.histories), "message")
    if not workspace.memories:
        return words.note(f"{messages} taken in; no column has a memory to write them into.", "good")
    tokens = words.many(written_tokens(workspace), "token")
    seeing = [column.arm.title for column in workspace.arms.values() if column.arm.context != "none"]
    prompt = f"their prompt shows history: {', '.join(seeing)}" if seeing else "0 tokens in the prompt"
    return words.note(f"{messages}, {tokens} written; {prompt}.", "good")


def show(page: Page, workspace: Workspace, name: str, transcript: Transcript) -> Iterator[dict]:
    """Make `transcript` the one at hand and show it while its tokens are counted."""
    workspace.transcript, transcript.name = transcript, name
    shown = time.monotonic()
    for _ in count_tokens(workspace, transcript):
        if time.monotonic() - shown > 0.3:
            yield view.draw(page.history, name, transcript, workspace.token_counts, False)
            shown = time.monotonic()


def ready(page: Page, workspace: Workspace, name: str) -> dict:
    """The transcript at hand, ready to be written, with its questions."""
    transcript = workspace.transcript
    return {
        **view.draw(page.history, name, transcript, workspace.token_counts, workspace.unwritten),
        **columns_view.draw_questions(page.columns, transcript.questions),
        page.history.status: words.note("Not in the memory yet: press “Write into memory”."),
        page.columns.note: "",
    }


def probes_in(path: str) -> list:
    """The probes that a transcript's own file brings along; none when it brings none that can be read."""
    try:
        return read_probes(path) if path.endswith(".json") else []
    except ProbeError:
        return []


def offer(page: Page, workspace: Workspace, probes: list, table: list[list]) -> dict:
    """The transcript's probes: in the table, unless something else was typed or read there; then behind a button."""
    typed = [row for row in table if any(row)]
    untouched = typed == [row for row in probes_view.rows(workspace.probes) if any(row)]
    workspace.probes = probes
    button = {page.probes.example: gr.Button(interactive=bool(probes))}
    return {**button, page.probes.table: probes_view.rows(probes)} if untouched or not typed else button


def bars(title: str, steps: Generator[tuple[int, int], None, None], unit: str | None = "token") -> Iterator[str]:
    """Progress bars for (done, total), with the time left as soon as two seconds of work tell it."""
    begin, end, seen = None, None, None
    for done, total in steps:
        now = time.monotonic()
        if done != seen:  # between two steps the time left only runs down
            # The first report comes when all is prepared: the time before it says nothing about the work.
            begin = (begin or (now, done)) if done else None
            spent, since = (now - begin[0], done - begin[1]) if begin else (0.0, 0)
            end = now + spent * (total - done) / since if since and spent > 2 else None
            seen = done
        rest = end - now if end else None
        left = "" if rest is None else f"about {words.seconds(rest)} left" if rest > 10 else "a few seconds left"
        yield words.progress_bar(title, done, total, left, unit)
