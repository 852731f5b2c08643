"""The integrity badge: green with details that unfold, or a loud warning."""

from __future__ import annotations

from html import escape

from .. import words
from ..integrity import Found

CHECKING = '<div class="dm-integrity" role="status">Integrity: checking this machine…</div>'


def badge(found: Found) -> str:
    """The findings as a badge whose details fold; unfolded when something is wrong."""
    lines = sum(len(findings.lines) for findings in found.values())
    wrong = [(name, line) for name, findings in found.items() for line in findings.wrong]
    groups = "".join(_group(name, findings) for name, findings in found.items())
    if wrong:
        first = f"{wrong[0][0]}: {wrong[0][1].label}: {wrong[0][1].value}"
        title = f"Integrity: {len(wrong)} of {words.many(lines, 'check')} failed. {first}"
        summary = f"<summary>✗ {escape(title)}</summary>"
        return f'<details class="dm-integrity dm-bad" open role="alert">{summary}<div>{groups}</div></details>'
    return (
        f'<details class="dm-integrity dm-fine"><summary>✓ Integrity: {words.many(lines, "check")} passed'
        f"</summary><div>{groups}</div></details>"
    )


def _group(name: str, findings) -> str:
    lines = "".join(
        f'<li class="{"" if line.ok else "dm-wrong"}"><span>{"✓" if line.ok else "✗"} {escape(line.label)}</span> '
        f"{escape(line.value)}</li>"
        for line in findings.lines
    )
    return f"<section><h3>{escape(name)}</h3><ul>{lines}</ul></section>"
