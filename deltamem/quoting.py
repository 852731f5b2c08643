"""How messages quote what came from outside."""

import re

# Line ends, control characters, and marks that would turn the rest of a sentence around.
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]+"
)


def quoted(value: object, width: int = 60) -> str:
    """A value from outside as a message can carry it: on one line, in reading order, at most `width` characters."""
    text = value if isinstance(value, str) else repr(value)
    text = UNSEEN.sub(" ", text[: width + 1])
    return text if len(text) <= width else f"{text[:width]}…"
