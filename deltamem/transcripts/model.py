"""What a transcript is once it has been read, and the one error of this package."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltamem.quoting import UNSEEN

MAX_BYTES = 20 * 1024 * 1024
MAX_MESSAGES = 200_000
MAX_LINES = 1_000_000
MAX_VALUES = 3_000_000  # marks that can open or part JSON values: each may take twenty times its size in memory

Message = dict[str, str]  # {"role": "user" | "assistant" | "system", "content": text}


class TranscriptError(ValueError):
    """A file that cannot be read as a transcript. The text says what was found, the limit and the remedy."""


@dataclass
class Transcript:
    """A conversation.

    messages: {"role", "content"} in order; roles are user, assistant, system; content is never blank.
    format: what the file was read as, in words ("ChatGPT export", "text with speakers", …).
    notes: one sentence for each decision the reader should know of (parts left out, names mapped to roles, …).
    questions: example questions that the file itself proposes (a list "questions" beside the messages).
    name: what people call it; readers leave it empty.
    """

    messages: list[Message]
    format: str
    notes: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    name: str = ""

    @property
    def characters(self) -> int:
        return sum(len(message["content"]) for message in self.messages)


def excerpt(value: object, width: int = 40) -> str:
    """A short, single-line quotation of `value` for error messages."""
    text = " ".join(UNSEEN.sub(" ", str(value)[: width * 8]).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def count(number: int, noun: str) -> str:
    """'1 message', '1,234 messages'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
