"""Numbers and short texts as the page shows them; every piece of foreign text is escaped here."""

from __future__ import annotations

from html import escape

PROMPT = {
    "none": "your question only",
    "recent": "the last {} turns and your question",
    "rag": "passages found in the history, and your question",
    "full": "the whole history and your question",
}
STOPS = {"length": "cut at the answer limit", "context": "cut: the prompt is full", "cancelled": "stopped by you"}


def size(count: int) -> str:
    """Bytes with a unit: '0 B', '7.7 kB', '1.2 MB'."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def many(count: int, noun: str) -> str:
    """'1 token', '412 tokens'."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seconds(value: float) -> str:
    """'0.21 s', '12 s', '3 min', '1 h 5 min'."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 90:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def note(text: str, kind: str = "info") -> str:
    """A sentence at a control. kind: info, good, warn."""
    role = "alert" if kind == "warn" else "status"
    return f'<div class="dm-note dm-{kind}" role="{role}">{escape(text)}</div>' if text else ""


def chips(words: tuple[str, ...], on: bool) -> str:
    inside = "".join(f'<span class="dm-chip">{escape(word)}</span>' for word in words)
    return f'<span class="dm-chips{" dm-on" if on else ""}">{inside}</span>'


def empty(arm) -> str:
    """What an empty column says of itself."""
    seen = PROMPT[arm.context].format(arm.recent_turns)
    if arm.memory:
        return f"The frozen model answers here with its memory. In its prompt: {seen}."
    return f"The frozen model answers here, without memory. In its prompt: {seen}."


def passages(found: list[str] | None) -> str:
    """The passages that retrieval put into the prompt, folded; nothing for arms that do not retrieve."""
    if found is None:
        return ""
    if not found:
        return '<div class="dm-faint">No earlier passage shares a word with the question: none was put in.</div>'
    items = "".join(f"<li>{escape(passage)}</li>" for passage in found)
    title = f"{many(len(found), 'passage')} in the prompt"
    return f'<details class="dm-details"><summary>{title}</summary><ol>{items}</ol></details>'


def cost_line(stats: dict | None) -> str:
    """What an answer cost, from a reply's stats; a placeholder of the same height without."""
    if not stats:
        return '<div class="dm-cost dm-faint">Prompt tokens, speed and memory use of each answer appear here.</div>'
    if stats["stop"] == "before":
        return '<div class="dm-cost">Stopped before the first word; the question was not kept.</div>'
    parts = [
        (
            "prompt",
            many(stats["prompt_tokens"], "token"),
            "what the model saw: the question, and history where it shows",
        ),
        ("answer", many(stats["new_tokens"], "token"), "length of the answer"),
        ("first token", seconds(stats["ttft_s"]), "time from the question to the first token of the answer"),
        ("speed", f"{stats['tok_s']:.1f} tok/s", "tokens per second after the first"),
        ("state", size(stats["state_bytes"]), "size of the memory, the same however long the history is"),
        ("KV cache", size(stats["kv_bytes"]), "what attention keeps of the prompt; it grows with every token"),
    ]
    cells = "".join(f'<span title="{about}"><dt>{name}</dt><dd>{value}</dd></span>' for name, value, about in parts)
    end = STOPS.get(stats["stop"])
    return f'<dl class="dm-cost">{cells}{f"<span><dd>{end}</dd></span>" if end else ""}</dl>'


def progress_bar(title: str, done: int, total: int, left: str = "", unit: str | None = "token") -> str:
    """A bar with its words; `left` says how long it may still take. unit: what is counted, None for a percentage."""
    share = min(100 * done / total, 100) if total else 0
    numbers = f"{share:.0f}%" if unit is None else f"{done:,} of {many(total, unit)}"
    numbers = numbers if total else "preparing"
    words = escape(f"{title}: {numbers}{f', {left}' if left else ''}")
    return (
        f'<div class="dm-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-label="{words}" '
        f'aria-valuenow="{share:.0f}"><div class="dm-bar"><i style="width:{share:.1f}%"></i></div>{words}</div>'
    )


def preview_table(messages: list[dict], counts: list[int], rows: int = 50, width: int = 140) -> str:
    """The first messages of a transcript: role, text, tokens (a dot while they are not counted)."""
    lines = []
    for index, message in enumerate(messages[:rows]):
        text = message["content"]
        shown = escape(text if len(text) <= width else text[: width - 1] + "…")
        tokens = f"{counts[index]:,}" if index < len(counts) else "·"
        role = escape(message["role"])
        lines.append(f'<tr><td class="dm-role dm-{role}">{role}</td><td>{shown}</td><td>{tokens}</td></tr>')
    more = len(messages) - rows
    if more > 0:
        lines.append(f'<tr class="dm-more"><td></td><td>and {many(more, "more message")}</td><td></td></tr>')
    return (
        '<div class="dm-table" tabindex="0" role="region" aria-label="Preview of the history"><table><thead><tr>'
        '<th scope="col">Role</th><th scope="col">Text</th><th scope="col">Tokens</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def number_table(rows: list[list], cells: int = 1200) -> str:
    """The numbers of a figure as an HTML table, as many lines as `cells` numbers make; the CSV file has all."""
    header, *lines = rows
    shown = max(1, cells // len(header))
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(cell))}</td>" for cell in line) + "</tr>" for line in lines[:shown]
    )
    more = len(lines) - shown
    rest = f'<p class="dm-faint">And {many(more, "more line")}, in the CSV file.</p>' if more > 0 else ""
    return (
        '<div class="dm-table dm-numbers" tabindex="0" role="region" aria-label="The figure’s numbers"><table><thead>'
        f"<tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{rest}"
    )


def _cell(cell) -> str:
    if isinstance(cell, float):
        return "–" if cell != cell else f"{cell:.4g}".replace("-", "−")
    return str(cell).replace("\n", "↵")
