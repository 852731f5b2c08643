"""Two answers compared word by word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import escape

# Scripts written without spaces count character by character.
WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|\s+|.")


@dataclass(frozen=True)
class Difference:
    """Both answers as HTML, what only one says marked in it; the number of shared words, and of words in each."""

    left: str
    right: str
    shared: int
    counts: tuple[int, int]


def difference(left: str, right: str) -> Difference:
    """Compare two answers; foreign text is escaped."""
    a, b = WORDS.findall(left), WORDS.findall(right)
    found = SequenceMatcher(None, [word.casefold() for word in a], [word.casefold() for word in b], autojunk=False)
    sides: tuple[list[str], list[str]] = ([], [])
    shared = 0
    for kind, a0, a1, b0, b1 in found.get_opcodes():
        if kind == "equal":
            shared += _count(a[a0:a1])
        for side, words, tag in ((sides[0], a[a0:a1], "del"), (sides[1], b[b0:b1], "ins")):
            text = escape("".join(words), quote=False)
            side.append(text if kind == "equal" or not text else f"<{tag}>{text}</{tag}>")
    return Difference("".join(sides[0]), "".join(sides[1]), shared, (_count(a), _count(b)))


def _count(parts: list[str]) -> int:
    return sum(part[0].isalnum() for part in parts)
