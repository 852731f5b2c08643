"""From bytes to clean text, and the finishing of every transcript."""

from __future__ import annotations

import codecs
import re

from .model import MAX_MESSAGES, Message, Transcript, TranscriptError, count

SIGNATURES = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"SQLite format 3", "a database"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a model file"),
)
AS_TEXT = "save the conversation as .txt, .md, .json, .jsonl or .csv and upload that"
# Control characters other than tab and newline carry no text; C1 controls appear when cp1252 is read as latin-1.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
SURROGATE = re.compile(r"[\ud800-\udfff]")
NEWLINES = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
BINARY_SHARE = 0.1


def decode(data: bytes) -> tuple[str, list[str]]:
    """Text of `data` (UTF-8, or UTF-16 when a byte order mark says so) and notes on what had to be replaced."""
    for signature, kind in SIGNATURES:
        if data.startswith(signature):
            raise TranscriptError(f"The file is {kind}, which holds no plain text: {AS_TEXT}.")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", errors="replace")
    else:
        text = data.decode("utf-8-sig", errors="replace")
    broken = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    if len(CONTROL.findall(text)) + max(broken, 0) > BINARY_SHARE * max(len(text), 1):
        raise TranscriptError(f"The file looks binary: more than a tenth of it is not readable text; {AS_TEXT}.")
    notes = []
    if broken > 0:
        notes.append(f"{count(broken, 'byte sequence')} that are not UTF-8 were replaced by �.")
    return text.replace("\ufeff", ""), notes


def clean(text: str) -> str:
    """`text` without lone surrogates, control characters or foreign line ends, stripped."""
    text = SURROGATE.sub("\ufffd", NEWLINES.sub("\n", text))
    return CONTROL.sub("", text).strip()


def finish(messages: list[Message], format: str, notes: list[str], questions: object = None) -> Transcript:
    """The transcript with every content cleaned and blank messages left out; checks the limits."""
    if len(messages) > MAX_MESSAGES:
        raise TranscriptError(
            f"The file holds {len(messages):,} messages, more than the {MAX_MESSAGES:,} that are read: "
            "split it and upload a part."
        )
    kept, blank, changed = [], 0, 0
    for message in messages:
        content = clean(message["content"])
        if SURROGATE.search(message["content"]) or CONTROL.search(message["content"].replace("\r", "")):
            changed += 1
        if content:
            kept.append({"role": message["role"], "content": content})
        else:
            blank += 1
    if changed:
        notes.append(f"Unreadable characters were removed or replaced in {count(changed, 'message')}.")
    if blank:
        notes.append(f"{count(blank, 'empty message')} left out.")
    if not kept:
        raise TranscriptError(
            f"The file was read as {format} but holds no message with text: check that it is the right file."
        )
    asked = questions if isinstance(questions, list) else []
    return Transcript(kept, format, notes, [clean(q) for q in asked[:8] if isinstance(q, str) and clean(q)])
