"""CSV and TSV: a column of speakers and one of texts, or a column for each side."""

from __future__ import annotations

import csv
import io
import re
from itertools import islice

from .clean import finish
from .model import MAX_BYTES, MAX_MESSAGES, Message, Transcript, TranscriptError, count, excerpt
from .roles import cast_of, known_role

SPEAKERS = {"role", "speaker", "from", "author", "sender", "name", "who", "participant"}
TEXTS = {"content", "text", "message", "value", "body", "utterance", "said", "transcript"}
USERS = {"user", "human", "question", "prompt", "input", "instruction", "query", "customer"}
ASSISTANTS = {"assistant", "bot", "answer", "response", "reply", "output", "completion", "ai", "model", "agent"}
NEEDED = "a header with role and content (or speaker and text), or with user and assistant"


def parse_table(text: str, notes: list[str]) -> Transcript:
    """A transcript of delimited text; the delimiter is found out, the columns are found by their names."""
    rows = _rows(text)
    if len(rows) > MAX_MESSAGES:
        raise TranscriptError(
            f"The table holds more than the {MAX_MESSAGES:,} rows that are read: split it and upload a part."
        )
    if not rows:
        raise TranscriptError(f"The table has no rows: it needs {NEEDED}.")
    header = [cell.strip().lower().replace("_", " ").split(" ")[0] if cell.strip() else "" for cell in rows[0]]
    speaker, said = _column(header, SPEAKERS), _column(header, TEXTS)
    if speaker is not None and said is not None:
        return finish(_by_speaker(rows[1:], speaker, said, notes), "table of messages", notes)
    user, assistant = _column(header, USERS), _column(header, ASSISTANTS)
    if user is not None and assistant is not None:
        return finish(_pairs(rows[1:], user, assistant), "table of questions and answers", notes)
    if len(header) == 2 and all(len(row) == 2 and known_role(row[0]) for row in rows):
        return finish(_by_speaker(rows, 0, 1, notes), "table of messages", notes)
    shown = ", ".join(excerpt(repr(cell), 20) for cell in rows[0][:5])
    raise TranscriptError(f"The table's columns ({shown}) do not say who speaks: it needs {NEEDED}.")


def _rows(text: str) -> list[list[str]]:
    text = text.replace("\0", "")
    if named := re.match(r"\s*sep=(.)\r?\n", text):  # a line that Excel puts in front
        text, delimiter = text[named.end() :], named[1]
    else:
        delimiter = _delimiter(text)
    # The module's own limit of 128 KiB a cell is less than a long message; the file's size is limited already.
    csv.field_size_limit(MAX_BYTES)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = list(islice(reader, MAX_MESSAGES + 2))
    except csv.Error as error:
        raise TranscriptError(f"The table cannot be read ({error}): save it again as CSV with quotes.") from None
    return [row for row in rows if any(cell.strip() for cell in row)]


def _delimiter(text: str) -> str:
    first = text.lstrip("\n\r").split("\n", 1)[0][:10_000]
    counts = {mark: first.count(mark) for mark in ",;\t|"}
    # The header has no quoted text in practice, so it tells the delimiter more surely than csv.Sniffer, which
    # settles on letters and spaces when cells hold prose. With no header word at all, sniff.
    best = max(counts, key=counts.__getitem__)
    if counts[best]:
        return best
    try:
        return csv.Sniffer().sniff(text[:10_000], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _column(header: list[str], names: set[str]) -> int | None:
    return next((index for index, name in enumerate(header) if name in names), None)


def _cell(row: list[str], index: int) -> str:
    return row[index] if index < len(row) else ""


def _by_speaker(rows: list[list[str]], speaker: int, said: int, notes: list[str]) -> list[Message]:
    names = list(dict.fromkeys(_cell(row, speaker).strip() or "user" for row in rows))
    cast = cast_of(names)
    notes.extend(cast.notes)
    messages = []
    for row in rows:
        text = _cell(row, said)
        messages.append(cast.message(_cell(row, speaker).strip() or "user", text) if text.strip() else _blank())
    tools = sum(message["role"] == "tool" for message in messages)
    if tools:
        notes.append(f"{count(tools, 'tool message')} left out.")
    return [message for message in messages if message["role"] != "tool"]


def _pairs(rows: list[list[str]], user: int, assistant: int) -> list[Message]:
    messages = []
    for row in rows:
        messages.append({"role": "user", "content": _cell(row, user)})
        messages.append({"role": "assistant", "content": _cell(row, assistant)})
    return messages


def _blank() -> Message:
    return {"role": "user", "content": ""}
