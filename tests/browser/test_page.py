"""The page as a visitor meets it: the real app, the demo model, a real browser."""

import json
import os

import pytest

from tests.browser.steps import (
    QUESTION,
    answering,
    answers,
    ask,
    finished,
    limit_answers,
    nothing_overflows,
    shown,
    upload,
    write,
)
from ui.page import EXAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHAT = "# Yesterday\n\nUser: My boat is called Saffron.\nAssistant: Nice name!\nUser: It is green.\nAssistant: Noted.\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_looks(open_page, screenshots, width, height, scheme):
    tab = open_page(width, height, scheme)
    name = f"{width}-{scheme}"
    tab.screenshot(path=screenshots / f"empty-{name}.png", full_page=True)
    limit_answers(tab, 24)
    tab.click("[id^=example-] >> nth=0")
    tab.wait_for_selector("#history-preview table")
    write(tab)
    with answering(tab):
        tab.click("#question-0")
    finished(tab)
    shown(tab, "memory-atlas")
    shown(tab, "memory-layer")
    tab.wait_for_function("document.querySelector('#memory-moment').innerText.includes('turn 1')")
    nothing_overflows(tab)
    tab.screenshot(path=screenshots / f"answered-{name}.png", full_page=True)
    tab.click("#memory-tabs button[role=tab] >> nth=1")
    shown(tab, "memory-gates")
    tab.locator("#memory-panel").screenshot(path=screenshots / f"gates-{name}.png")


@pytest.mark.skipif("DELTAMEM_APP_OPTIONS" in os.environ, reason="another adapter may not know the answers")
@pytest.mark.parametrize("path", [EXAMPLES / "boat.json"], ids=lambda path: path.stem)
def test_the_memory_knows_what_the_base_cannot(open_page, path):
    example = json.loads(path.read_text(encoding="utf-8"))
    tab = open_page()
    limit_answers(tab, 24)
    tab.click(f"#example-{path.stem}")
    tab.wait_for_selector("#history-preview table")
    write(tab)
    for number, (question, answer) in enumerate(zip(example["questions"], example["answers"], strict=True)):
        tab.click(f"#question-{number}")
        tab.wait_for_function(
            "n => document.querySelectorAll('#chat-1 [data-testid=bot]').length === n", arg=number + 1
        )
        finished(tab)
        base, memory = answers(tab)
        assert answer in memory, question
        assert answer not in base, question


def test_history_is_written_and_both_columns_answer(open_page, tmp_path):
    tab = open_page()
    limit_answers(tab)
    path = tmp_path / "chat.md"
    path.write_text(CHAT, encoding="utf-8")
    upload(tab, path)
    tab.wait_for_selector("#history-preview table")
    assert tab.locator("#history-preview tbody tr").count() == 4
    assert "4 messages" in tab.inner_text("#history-summary")
    assert "chat.md" in tab.inner_text("#history-summary")
    write(tab)
    assert "4 messages" in tab.inner_text("#history-status")
    assert "0 tokens in the prompt" in tab.inner_text("#history-status")
    history = shown(tab, "memory-atlas")
    assert tab.is_disabled("#history-write")

    ask(tab)
    assert tab.input_value("#ask-text textarea") == ""
    finished(tab)
    assert all(len(answer) > 2 for answer in answers(tab))
    for index in (0, 1):
        cost = tab.inner_text(f"#cost-{index}")
        assert "tok/s" in cost and "KV cache" in cost and "first token" in cost

    turn = shown(tab, "memory-atlas", history)
    layer = shown(tab, "memory-layer")
    tab.fill("#memory-turn input[type=number]", "0")
    tab.press("#memory-turn input[type=number]", "Enter")
    shown(tab, "memory-atlas", turn)
    assert "After the history" in tab.inner_text("#memory-moment")
    # A click on the first tile shows layer 0.
    tab.locator("#memory-atlas img").scroll_into_view_if_needed()
    box = tab.locator("#memory-atlas img").bounding_box()
    tab.mouse.click(box["x"] + 0.09 * box["width"], box["y"] + 0.11 * box["height"])
    tab.wait_for_function("document.querySelector('#memory-number input[type=number]').value === '0'")
    shown(tab, "memory-layer", layer)
    with tab.expect_download() as download:
        tab.click("#layer-svg")
    assert download.value.suggested_filename == "delta-mem-layer-0-state-1-history.svg"


def test_stop_keeps_and_retry_repeats(open_page):
    tab = open_page()
    limit_answers(tab, 512)
    ask(tab, "Tell me a long story about the sea.")
    tab.wait_for_function(
        "[0, 1].every(n => (document.querySelector(`#chat-${n} [data-testid=bot]`)?.innerText || '').length > 40)"
    )
    assert tab.is_disabled("#ask-send")
    tab.click("#ask-stop")
    finished(tab)
    stopped = answers(tab)
    assert all(len(answer) > 20 for answer in stopped)
    assert "stopped by you" in tab.inner_text("#cost-0")
    limit_answers(tab, 8)
    tab.click("#ask-retry")
    tab.wait_for_selector("#cost-0:has-text('cut at the answer limit')")
    finished(tab)
    again = answers(tab)
    assert all(new != old and old.startswith(new[:10]) for new, old in zip(again, stopped, strict=True))
    assert tab.locator("#chat-0 [data-testid=user]").count() == 1


def test_wrong_inputs_get_a_sentence_and_cost_nothing(open_page, tmp_path):
    tab = open_page()
    tab.click("#ask-send")
    tab.wait_for_selector("#ask-note .dm-warn")
    tab.click("#ask-retry")
    tab.wait_for_function("document.querySelector('#ask-note').innerText.includes('ask again')")
    files = {"bad.json": b'{"messages": [', "empty.txt": b"", "image.txt": bytes(range(256)) * 40}
    seen = set()
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        upload(tab, path)
        tab.wait_for_function(
            "old => { const t = document.querySelector('#history-status .dm-warn')?.innerText || '';"
            " return t && !old.includes(t); }",
            arg=list(seen),
        )
        seen.add(tab.inner_text("#history-status .dm-warn"))
    assert any("not valid JSON" in text for text in seen)
    assert any("binary" in text for text in seen)
    tab.set_input_files("#session-panel input[type=file]", str(tmp_path / "bad.json"))
    tab.wait_for_selector("#session-status .dm-warn")
    # A question that cannot be asked is still in the box.
    question = "word " * 12_000
    tab.fill("#ask-text textarea", question)
    tab.click("#ask-send")
    tab.wait_for_selector("#ask-note .dm-warn")
    tab.wait_for_function("document.querySelector('#ask-text textarea').value.length > 50000")
    assert tab.inner_text("body").count("Traceback") == 0


def test_save_reset_load(open_page, tmp_path):
    tab = open_page()
    limit_answers(tab)
    tab.click("[id^=example-] >> nth=0")
    tab.wait_for_selector("#history-preview table")
    write(tab)
    ask(tab)
    finished(tab)
    said = answers(tab)
    with tab.expect_download() as download:
        tab.click("#session-save")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    tab.click("#session-reset")
    tab.wait_for_selector("#memory-empty", state="visible")
    assert tab.locator("#chat-0 .message").count() == 0
    assert tab.is_enabled("#history-write")

    other = open_page()
    other.set_input_files("#session-panel input[type=file]", str(path))
    other.wait_for_selector("#session-status .dm-good")
    shown(other, "memory-atlas")
    assert answers(other) == said
    assert "written" in other.inner_text("#history-status")
    assert QUESTION in other.inner_text("#chat-1")


def test_a_large_transcript_shows_progress_and_can_be_cancelled(open_page, tmp_path, screenshots):
    tab = open_page()
    path = tmp_path / "large.json"
    text = "The quick brown fox jumps over the lazy dog. " * 10
    roles = ("user", "assistant")
    path.write_text(json.dumps([{"role": roles[i % 2], "content": f"{i}: {text}"} for i in range(11_000)]))
    assert path.stat().st_size > 5_000_000
    upload(tab, path)
    tab.wait_for_selector("#history-write:enabled")
    assert "11,000 messages" in tab.inner_text("#history-summary")
    tab.click("#history-write")
    tab.wait_for_function("document.querySelector('#history-status').innerText.includes('of 1')")
    tab.locator("#history-panel").screenshot(path=screenshots / "writing.png")
    # The page is alive meanwhile, and says that it is at work.
    tab.fill("#ask-text textarea", QUESTION)
    tab.click("#ask-send")
    tab.wait_for_selector("#ask-note .dm-warn")
    assert tab.input_value("#ask-text textarea") == QUESTION
    tab.click("#history-cancel:enabled")
    tab.wait_for_function("document.querySelector('#history-status').innerText.includes('Cancelled')")
    assert tab.is_visible("#memory-empty")
