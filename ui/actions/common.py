"""What all handlers share: the page's parts, errors as sentences, one queue for everything that uses the model."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import torch
from gradio.blocks import Block

from deltamem.core.errors import DeltaMemError
from deltamem.transcripts import TranscriptError

from .. import words
from ..gallery import Example
from ..panels.arms import ArmsPanel
from ..panels.ask import ANY, OWN, AskPanel
from ..panels.columns import Columns
from ..panels.difference import DifferencePanel
from ..panels.history import HistoryPanel
from ..panels.memory import MemoryPanel
from ..panels.probes import ProbesPanel
from ..panels.session import SessionPanel
from ..record import BundleError
from ..registry import Full, Gone, Registry
from ..workspace import Busy, Workspace

HIDDEN = {"api_visibility": "private", "show_progress": "hidden"}


def _limited(name: str, count: int) -> dict:
    """For events of which `count` may run at once, over all pages."""
    return {"concurrency_id": name, "concurrency_limit": count, **HIDDEN}


# Passes of different pages take turns at the model, so a few may answer at once; more would only slow all of them.
MODEL = _limited("model", 8 if torch.cuda.is_available() else 4)
READ, DRAW, CHECK, PROBE = (_limited(name, 2) for name in ("read", "draw", "check", "probe"))
NOW = {"concurrency_limit": None, **HIDDEN}
# The last input tells how figures look now, a key of LOOKS: only the browser knows whether it is dark, or a phone.
SCHEME = """(...values) => {
  const dark = document.body.classList.contains('dark') ? 'dark' : 'light';
  return [...values.slice(0, -1), dark + (window.innerWidth <= 600 ? ' narrow' : '')];
}"""


def queued(note: gr.HTML) -> dict:
    """As MODEL; until it is its turn, the event's place in the queue stands in `note`."""
    return MODEL | {"show_progress": "minimal", "show_progress_on": note}


class Refused(Exception):
    """Something that cannot be done as asked; the text tells the user why."""


EXPECTED = (DeltaMemError, TranscriptError, BundleError, Busy, Gone, Full, Refused)


@dataclass
class Page:
    """The components that events read and change, and what stands behind them."""

    model: object
    registry: Registry
    key: gr.State
    history: HistoryPanel
    ask: AskPanel
    session: SessionPanel
    arms: ArmsPanel
    columns: Columns
    memory: MemoryPanel
    probes: ProbesPanel
    difference: DifferencePanel


def unheard(workspace: Workspace) -> str:
    """That an uploaded transcript is in no answer, as nobody wrote it; empty when there is none."""
    return "The transcript in step 1 is not written yet: the columns answer without it." if workspace.unwritten else ""


def sentence(error: Exception) -> str:
    """What the user is told of an error. The unexpected ones go to the log with their traceback."""
    if isinstance(error, EXPECTED):
        return _capital(str(error))
    logging.getLogger("deltamem.ui").error("unexpected error", exc_info=error)
    kind = type(error).__name__
    return f"Something went wrong inside the playground ({kind}); nothing was changed, and its log says more."


def _capital(text: str) -> str:
    """A library's message as a sentence: "cannot read …" becomes "Cannot read …", names stay as they are."""
    first = text.partition(" ")[0]
    return text[0].upper() + text[1:] if first.isascii() and first.isalpha() and first.islower() else text


def lasting(handler):
    """For generator handlers: every step repeats the properties that earlier steps gave to components.

    Gradio sends a step as its difference to the one before, and its page works that into the earlier step's own
    objects: a slow browser, which has not shown the earlier step yet, would lose what the next one no longer names
    (a button that is free now, say). Plain values are safe and are not repeated: people may be typing there.
    """

    @functools.wraps(handler)
    def run(*args):
        told = {}
        for step in handler(*args):
            if step == gr.skip():
                yield told or step
                continue
            told |= {part: value for part, value in step.items() if isinstance(value, Block)}
            yield {**told, **step}

    return run


def guarded(note: gr.HTML, rest: Callable[[], dict] | None = None):
    """For generator handlers: an error becomes a warning and a sentence in `note`; rest() frees the controls."""

    def wrap(handler):
        if not inspect.isgeneratorfunction(handler):
            raise TypeError(f"{handler.__name__} must be a generator")

        @functools.wraps(handler)
        @lasting
        def run(*args):
            try:
                yield from handler(*args)
            except Exception as error:
                text = sentence(error)
                gr.Warning(text)
                # A page that is busy with something else keeps its controls as that needs them.
                free = rest() if rest and not isinstance(error, Busy) else {}
                yield {note: words.note(text, "warn"), **free}

        return run

    return wrap


def excused(handler):
    """For plain handlers: an error becomes a warning and changes nothing; a page that is gone gets nothing."""

    @functools.wraps(handler)
    def run(*args):
        try:
            return handler(*args)
        except (Gone, FileNotFoundError):  # the files go with the page
            return gr.skip()
        except Exception as error:
            gr.Warning(sentence(error))
            return gr.skip()

    return run


def other_messages(workspace: Workspace, name: str | None, examples: list[Example]) -> list[dict]:
    """Messages of the other transcript that controls use: an upload (OWN), the example of that name, or ANY example.

    The workspace keeps what it is called, for the report. Raises Refused when it is what was written.
    """
    written = [one.messages for one in workspace.histories]
    chosen = [one for one in reversed(examples) if name in (ANY, one.name)]
    for one in [workspace.other] if name == OWN else [one.read()[0] for one in chosen]:
        if one and one.messages not in written:
            workspace.lent = one.name
            return one.messages
    raise Refused("There is no other transcript: choose one that was not written, in step 2, “What the controls use”.")


def excused_steps(handler):
    """For generator handlers: as `excused`."""

    @functools.wraps(handler)
    @lasting
    def run(*args):
        try:
            yield from handler(*args)
        except (Gone, FileNotFoundError):
            yield gr.skip()  # gradio refuses an empty dict where there are several outputs
        except Exception as error:
            gr.Warning(sentence(error))
            yield gr.skip()

    return run


def remove(path: str | None) -> None:
    """Delete an uploaded file: once read, nobody needs it, and its address could be passed on."""
    if path:
        Path(path).unlink(missing_ok=True)
