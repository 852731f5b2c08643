"""Numbers and texts of the page: units everywhere, foreign text always escaped."""

import pytest

from ui import words

STATS = {
    "prompt_tokens": 15,
    "new_tokens": 1,
    "ttft_s": 0.2134,
    "tok_s": 14.26,
    "state_bytes": 30720,
    "kv_bytes": 1_036_800,
    "stop": "eos",
}
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (7680, "7.7 kB"), (1_500_000, "1.5 MB"), (2.5e12, "2500.0 GB")]
)
def test_sizes(count, text):
    assert words.size(count) == text


@pytest.mark.parametrize(("value", "text"), [(0.214, "0.21 s"), (61, "61 s"), (200, "3 min"), (4000, "1 h 7 min")])
def test_seconds(value, text):
    assert words.seconds(value) == text


def test_cost_line_has_units():
    line = words.cost_line(STATS)
    for part in ("15 tokens", "1 token<", "0.21 s", "14.3 tok/s", "30.7 kB", "1.0 MB"):
        assert part in line
    assert "stopped by you" in words.cost_line({**STATS, "stop": "cancelled"})
    assert "not kept" in words.cost_line({"stop": "before"})
    assert "appear here" in words.cost_line(None)


def test_retrieved_passages_are_folded():
    assert words.passages(None) == ""
    assert "shares a word" in words.passages([])
    assert "<details" in words.passages(["user: Rex"]) and "1 passage in the prompt" in words.passages(["user: Rex"])


def test_foreign_text_is_escaped():
    shown = [
        words.passages([HOSTILE]),
        words.note(HOSTILE),
        words.chips((HOSTILE,), True),
        words.progress_bar(HOSTILE, 1, 2),
        words.preview_table([{"role": "user", "content": HOSTILE}], [3]),
    ]
    assert all("<img" not in text and "&lt;img" in text for text in shown)


def test_preview_shows_the_first_rows_and_says_how_many_follow():
    messages = [{"role": "user", "content": "x" * 1000}] * 120
    table = words.preview_table(messages, [7] * 40)
    assert table.count("<tr>") == 51
    assert "and 70 more messages" in table
    assert "x" * 200 not in table
    assert table.count("<td>7</td>") == 40


def test_progress_is_readable_without_seeing_it():
    bar = words.progress_bar("Writing", 50, 200, "about 3 s left")
    assert 'role="progressbar"' in bar and 'aria-valuenow="25"' in bar
    assert "Writing: 50 of 200 tokens, about 3 s left" in bar
    assert "preparing" in words.progress_bar("Writing", 0, 0)


def test_tables_are_escaped_and_bounded():
    rows = [["text", "value"], ["<b>&", float("nan")], *([str(index), -0.5] for index in range(2000))]
    html = words.number_table(rows)
    assert "&lt;b&gt;&amp;" in html and "<b>" not in html and "–" in html and "−0.5" in html
    assert html.count("<tr>") == 601 and "And 1,401 more lines" in html
