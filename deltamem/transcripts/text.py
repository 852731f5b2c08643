"""Plain text and Markdown: speakers at the start of lines or in headings, or prose without speakers."""

from __future__ import annotations

import re
from collections import Counter

from .clean import finish
from .model import MAX_MESSAGES, Transcript, TranscriptError, count, excerpt
from .roles import cast_of, known_role

PROSE_CHARACTERS = 2000  # about 500 tokens: one message's worth of prose
# Every repetition below is bounded: a hostile line costs the same few steps as any other.
CLOCK = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:[.,]\d{1,6})?\s?(?:[AaPp]\.?[Mm]\.?)?"
DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})"
STAMP = rf"(?:{DATE}(?:[T,\s]{{1,3}}{CLOCK}(?:Z|[+-]\d\d:?\d\d)?)?|{CLOCK})"
LINE = re.compile(
    rf"^\s{{0,3}}(?:(?:[-*+>]|\d{{1,4}}[.)])\s{{1,3}})?(?:\#{{1,6}}\s)?"  # a list mark, a heading mark
    rf"(?:[\[(]?{STAMP}[\])]?\s{{0,2}}[-–—|:]?\s{{0,2}})?"  # a time
    r"(?P<mark>\*\*|__|\*|_|)(?P<name>[^\W\d_][^:：*_\n\[\]()<>{}/\\\"“”=]{0,39}?)"  # the name, perhaps in bold
    rf"(?:\s?[\[(]{STAMP}[\])])?(?:(?P=mark)\s?[:：]|[:：](?P=mark))(?!//)(?P<said>.*)$",  # a time, a colon, words
    re.DOTALL,
)
HEADING = re.compile(
    r"^\s{0,3}(?:\#{1,6}\s|(?P<mark>\*\*|__))(?P<name>[^\W\d_][^:*_\#\n]{0,39}?)"
    rf"(?:\s?[\[(]?{STAMP}[\])]?)?\s?(?(mark)(?P=mark)|\#{{0,6}})\s{{0,3}}$"
)
FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n---[ \t]*\n", re.DOTALL)
# Words that open lines with a colon in ordinary prose: never the name of a speaker.
NOT_NAMES = {
    "note", "notes", "warning", "example", "examples", "e.g", "subject", "date", "from", "to", "cc", "title", "time",
    "summary", "ingredients", "method", "steps", "output", "input", "result", "results", "todo", "ps", "p.s", "re",
    "url", "http", "https", "source", "sources", "tip", "important", "conclusion", "chapter", "abstract", "keywords",
}  # fmt: skip


def parse_text(text: str, notes: list[str], markdown: bool = False) -> Transcript:
    """A transcript of `text`: a dialogue when lines name their speakers, else prose as user messages."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if front := FRONT_MATTER.match(text):
        text = text[front.end() :]
        notes.append("The front matter between the two --- lines was left out.")
    lines = text.split("\n")
    speakers = _speakers(lines)
    name = "Markdown" if markdown else "text"
    if not speakers:
        messages = [{"role": "user", "content": piece} for piece in prose_pieces(text)]
        notes.append("No speakers were found: read as prose told by the user.")
        return finish(messages, f"{name} without speakers", notes)
    if len(speakers) > MAX_MESSAGES:
        raise TranscriptError(
            f"The file holds {len(speakers):,} turns, more than the {MAX_MESSAGES:,} that are read: "
            "split it and upload a part."
        )
    cast = cast_of(list(dict.fromkeys(speakers.values())))
    notes.extend(cast.notes)
    messages, before = [], "\n".join(lines[: min(speakers)]).strip()
    starts = [*sorted(speakers), len(lines)]
    for start, end in zip(starts, starts[1:], strict=False):
        match = LINE.match(lines[start])
        said = match["said"] if match else ""
        content = "\n".join([said, *lines[start + 1 : end]]).strip()
        messages.append(cast.message(speakers[start], content) if content else {"role": "user", "content": ""})
    if before:
        notes.append(f"Left out what stands before the first speaker: “{excerpt(before)}”.")
    tools = sum(message["role"] == "tool" for message in messages)
    if tools:
        notes.append(f"{count(tools, 'tool message')} left out.")
    return finish([m for m in messages if m["role"] != "tool"], f"{name} with speakers", notes)


def _speakers(lines: list[str]) -> dict[int, str]:
    """Line number -> name, for the lines that open a turn; empty when the text is no dialogue."""
    found: dict[int, str] = {}
    fenced, closed = False, sum(line.lstrip().startswith("```") for line in lines) % 2 == 0
    for number, line in enumerate(lines):
        if closed and line.lstrip().startswith("```"):
            fenced = not fenced
        if fenced:
            continue
        if (":" in line or "：" in line) and (match := LINE.match(line)):
            name = match["name"].strip()
            spaced = not match["said"] or match["said"][0].isspace() or bool(match["mark"]) or "：" in line
            if len(name.split()) <= 4 and name.lower().rstrip(".") not in NOT_NAMES and (spaced or known_role(name)):
                found[number] = name
        elif (
            line.lstrip()[:1] in ("#", "*", "_")
            and (match := HEADING.match(line))
            and known_role(match["name"].strip())
        ):
            found[number] = match["name"].strip()
    known = {name for name in found.values() if known_role(name)}
    roles = {known_role(name) for name in known}
    if {"user", "assistant"} <= roles:
        # Both sides are named: any other "Word:" is part of what somebody says.
        return {number: name for number, name in found.items() if name in known}
    filled = [number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    dense = bool(found) and min(found) in filled[:3] and 3 * len(found) >= len(filled)
    if dense and len(set(found.values())) > 1:
        return found
    # Sparse names: strangers count only beside a known side, and only when they speak more than once.
    times = Counter(found.values())
    return {number: name for number, name in found.items() if known and (name in known or times[name] > 1)}


def prose_pieces(text: str, limit: int = PROSE_CHARACTERS) -> list[str]:
    """Paragraphs of `text` gathered into pieces of at most `limit` characters, split between words if need be."""
    pieces: list[str] = []
    size = limit + 1
    for paragraph in re.split(r"\n[ \t]*\n+", text):
        paragraph = paragraph.strip()
        for start, end in _cuts(paragraph, limit):
            part = paragraph[start:end].strip()
            if not part:
                continue
            if size + len(part) + 2 <= limit:
                pieces[-1] += "\n\n" + part
                size += len(part) + 2
            else:
                pieces.append(part)
                size = len(part)
    return pieces


def _cuts(paragraph: str, limit: int) -> list[tuple[int, int]]:
    """Spans of at most `limit` characters that end at a sentence's end or at a space where there is one."""
    spans, start = [], 0
    while len(paragraph) - start > limit:
        floor, ceiling = start + limit // 2, start + limit
        end = max(paragraph.rfind(mark, floor, ceiling) for mark in (". ", "? ", "! ", "\n")) + 1
        if end <= 0:
            end = paragraph.rfind(" ", floor, ceiling) + 1
        end = end if end > 0 else ceiling
        spans.append((start, end))
        start = end
    spans.append((start, len(paragraph)))
    return spans
