"""Finding out what a file holds, by its content first and its name second."""

from __future__ import annotations

from pathlib import Path

from .clean import decode
from .model import MAX_BYTES, MAX_LINES, Transcript, TranscriptError
from .structured import parse_json, parse_jsonl
from .table import parse_table
from .text import parse_text

EXTENSIONS = (".txt", ".md", ".json", ".jsonl", ".csv")
JSON_NAMES = {".json", ".jsonl", ".ndjson"}
TABLE_NAMES = {".csv", ".tsv"}


def read_transcript(path: str | Path) -> Transcript:
    """The transcript in the file at `path`; raises TranscriptError for everything that cannot be read."""
    path = Path(path)
    try:
        _check_size(path.stat().st_size)
        return parse_transcript(path.read_bytes(), path.name)
    except OSError as error:
        raise TranscriptError(f"The file cannot be opened ({error.strerror}): choose another, or try again.") from None


def parse_transcript(data: bytes, name: str = "") -> Transcript:
    """The transcript in `data`; `name` is the file's name, whose ending counts only where the content is unclear."""
    _check_size(len(data))
    if not data.strip():
        raise TranscriptError("The file is empty: upload a conversation with at least one message.")
    text, notes = decode(data)
    if (lines := text.count("\n")) > MAX_LINES:
        raise TranscriptError(
            f"The file has {lines:,} lines, more than the {MAX_LINES:,} that are read: split it and upload a part."
        )
    ending = Path(name.lower()).suffix
    opens_json = text.lstrip()[:1] in ("{", "[")
    if opens_json:
        try:
            return _json(text, notes)
        except TranscriptError:
            # "[12:30] Anna: hello" opens like JSON too; only a name that promises JSON makes this an error.
            if ending in JSON_NAMES or text.lstrip().startswith(("{", '["', "[{", "[[")):
                raise
    if ending in TABLE_NAMES:
        return parse_table(text, notes)
    if ending in JSON_NAMES:
        notes.append(f"The file is named {ending} but holds plain text.")
    return parse_text(text, notes, markdown=ending in (".md", ".markdown"))


def _json(text: str, notes: list[str]) -> Transcript:
    """One JSON document, or JSON Lines when the text is several documents of one line each."""
    first, _, rest = text.strip().partition("\n")
    whole_line = first.strip()[-1:] == {"{": "}", "[": "]"}[first[0]]
    return parse_jsonl(text, notes) if whole_line and rest else parse_json(text, notes)


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise TranscriptError(
            f"The file is {size / 2**20:,.1f} MB, more than the {MAX_BYTES // 2**20} MB that are read: "
            "split it and upload a part."
        )
