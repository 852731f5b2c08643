"""Uploading a transcript, writing it into the memory, changing the adapter."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import gradio as gr

from deltamem.transcripts import Transcript, read_transcript

from .. import words
from ..background import Stopped
from ..history import count_tokens, switch_adapter, write, written_tokens
from ..panels import columns as columns_view
from ..panels import history as view
from ..workspace import Workspace
from .common import MODEL, NOW, READ, Page, Refused, excused, guarded, remove


def wire(page: Page) -> list:
    """Connect the events; returns those after which the memory has changed."""
    panel, columns, ask = page.history, page.columns, page.ask

    @guarded(panel.status)
    def upload(key, path):
        try:
            yield {panel.file: None}  # the drop zone is free for the next file at once
            workspace = page.registry.get(key)
            with workspace.claim():
                yield {panel.status: words.note("Reading the file…")}
                transcript = read_transcript(path)
                yield from _count(page, workspace, Path(path).name, transcript)
            yield _ready(page, workspace, Path(path).name)
        finally:
            remove(path)

    def example(path: Path):
        @guarded(panel.status)
        def take(key):
            workspace = page.registry.get(key)
            with workspace.claim():
                yield from _count(page, workspace, view.title(path), read_transcript(path))
            yield _ready(page, workspace, view.title(path))

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
        yield {panel.status: status, panel.write: gr.Button(interactive=workspace.unwritten), **idle()}

    @guarded(ask.status, idle)
    def change_adapter(key, adapter):
        workspace = page.registry.get(key)
        before = workspace.adapter
        try:
            with workspace.claim():
                yield {panel.cancel: gr.Button(interactive=bool(workspace.histories))}
                with closing(switch_adapter(workspace, adapter)) as steps:
                    for bar in bars(f"Writing the history again with {adapter} (Cancel is in step 1)", steps):
                        yield {ask.status: bar}
            again = " and the history was written again" if workspace.histories else ""
            status = words.note(f"The memory now uses {adapter}: both columns start over{again}.", "good")
            yield {ask.status: status, **idle(), **columns_view.draw(columns, workspace)}
            if workspace.histories:
                yield {panel.status: written_line(workspace)}
        except Stopped:
            yield {ask.status: words.note(f"Cancelled: the memory still uses {before}."), ask.adapter: before, **idle()}
        except Exception:
            yield {ask.adapter: before}
            raise

    @excused
    def cancel(key):
        page.registry.get(key).stop.set()
        return gr.Button(interactive=False)

    taken = {columns.note, panel.file, panel.summary, panel.preview, panel.write, panel.status, *columns.questions}
    panel.file.upload(upload, [page.key, panel.file], taken, **READ)
    for button, path in panel.examples:
        button.click(example(path), page.key, taken, **READ)
    panel.cancel.click(cancel, page.key, panel.cancel, **NOW)
    changed = {ask.status, ask.adapter, panel.status, panel.cancel, *columns.chats.values(), *columns.costs.values()}
    return [
        panel.write.click(write_history, page.key, {panel.status, panel.write, panel.cancel}, **MODEL),
        ask.adapter.input(change_adapter, [page.key, ask.adapter], changed, **MODEL),
    ]


def written_line(workspace: Workspace) -> str:
    """What the memory holds of history, and that the prompt holds none of it."""
    messages = sum(len(transcript.messages) for transcript in workspace.histories)
    tokens = words.many(written_tokens(workspace), "token")
    return words.note(f"{words.many(messages, 'message')}, {tokens} written; 0 tokens in the prompt.", "good")


def _count(page: Page, workspace: Workspace, name: str, transcript: Transcript) -> Iterator[dict]:
    """Make `transcript` the one at hand and show it while its tokens are counted."""
    workspace.transcript = transcript
    shown = time.monotonic()
    for _ in count_tokens(workspace, transcript):
        if time.monotonic() - shown > 0.3:
            yield view.draw(page.history, name, transcript, workspace.token_counts, False)
            shown = time.monotonic()


def _ready(page: Page, workspace: Workspace, name: str) -> dict:
    """The transcript at hand, ready to be written, with its questions."""
    transcript = workspace.transcript
    return {
        **view.draw(page.history, name, transcript, workspace.token_counts, workspace.unwritten),
        **columns_view.draw_questions(page.columns, transcript.questions),
        page.history.status: words.note("Not in the memory yet: press “Write into memory”."),
        page.columns.note: "",
    }


def bars(title: str, steps: Generator[tuple[int, int], None, None]) -> Iterator[str]:
    """Progress bars for (done, total) tokens, with the time left as soon as two seconds of writing tell it."""
    begin = None
    for done, total in steps:
        # The first report comes when all is encoded: the time before it says nothing about the writing.
        begin = begin or (time.monotonic(), done) if done else None
        spent, since = (time.monotonic() - begin[0], done - begin[1]) if begin else (0.0, 0)
        left = f"about {words.seconds(spent * (total - done) / since)} left" if since and spent > 2 else ""
        yield words.progress_bar(title, done, total, left)
