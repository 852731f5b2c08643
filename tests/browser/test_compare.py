"""The comparison as a visitor meets it: columns, controls, probes, differences, the report."""

import json
import zipfile

import pytest

from tests.browser.steps import (
    QUESTION,
    answers,
    ask,
    choose,
    example,
    finished,
    limit_answers,
    nothing_overflows,
    retry,
    shown,
    write,
)

PROBE_FILE = "[data-testid='Upload CSV or JSONL-upload-button']"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_four_columns_and_what_the_controls_say(open_page, screenshots, width, height):
    tab = open_page(width, height)
    limit_answers(tab)
    example(tab)
    write(tab)
    ask(tab)
    finished(tab)
    choose(tab, "base-rag", "memory-rag")  # they catch up: history and question
    assert len(answers(tab)) == 4
    said = answers(tab)
    assert "1 passage" in tab.inner_text("#passages-1") or "passages" in tab.inner_text("#passages-1")
    assert tab.inner_text("#head-1").startswith("Base + retrieval")
    nothing_overflows(tab)
    tab.screenshot(path=screenshots / f"four-{width}.png", full_page=True)

    tab.click("#control-2 input[value=zero]")
    tab.wait_for_selector("#head-2 .dm-loud")
    assert "zero state" in tab.inner_text("#head-2").lower()
    retry(tab)
    assert tab.is_visible("#chat-2 .dm-tag")
    tab.screenshot(path=screenshots / f"control-{width}.png", full_page=True)
    spoilt = answers(tab)
    assert "Tulip" in said[2] and "Tulip" not in spoilt[2]
    assert spoilt[1] == said[1]
    tab.click("#control-2 input[value='']")
    tab.wait_for_selector("#head-2 .dm-loud", state="detached")
    retry(tab)
    assert "Tulip" in answers(tab)[2]

    # A column that goes comes back with its conversation; a fifth one is refused where it was asked for.
    kept = answers(tab)
    tab.click("#arms-chosen input[name=base-full]")
    tab.wait_for_selector("#arms-status .dm-warn")
    assert not tab.is_checked("#arms-chosen input[name=base-full]")
    choose(tab, "base-rag")
    assert "put aside" in tab.inner_text("#arms-status")
    choose(tab, "base-rag")
    assert answers(tab) == kept


def test_a_column_made_by_hand(open_page):
    tab = open_page()
    limit_answers(tab)
    tab.click("#arms-own button >> nth=0")
    tab.click("#own-memory label:has-text('off')")
    tab.fill("#own-strength input[type=number]", "2")
    tab.press("#own-strength input[type=number]", "Tab")
    tab.click("#own-add")
    tab.wait_for_selector("#own-status .dm-warn")
    assert "memory is off" in tab.inner_text("#own-status")
    tab.click("#own-memory label:has-text('on')")
    tab.click("#own-sight label:has-text('recent turns')")
    tab.click("#own-add")
    tab.wait_for_selector("#arm-2")
    assert "δ-mem × 2 + last 3 turns" in tab.inner_text("#head-2")
    tab.fill("#own-place input, #own-place textarea", "/nowhere")
    tab.click("#own-fetch")
    tab.wait_for_selector("#own-status .dm-warn:has-text('/nowhere')")
    ask(tab, "Hello!")
    finished(tab)
    assert len(answers(tab)) == 3


def test_probes_over_all_columns(open_page, screenshots, tmp_path):
    tab = open_page()
    example(tab)
    write(tab)
    tab.click("#dm-below button[role=tab] >> nth=1")
    tab.wait_for_selector("#probes-table :text('What is my boat called?')")
    tab.click("#probes-run")
    # The page goes on meanwhile.
    limit_answers(tab)
    ask(tab)
    finished(tab)
    tab.wait_for_selector("#probes-status .dm-good", timeout=600_000)
    assert "Done" in tab.inner_text("#probes-status")
    shown(tab, "probes-chart")
    table = tab.inner_text("#probes-results")
    assert "Most right: δ-mem, state only" in table
    assert "δ-mem, state only" in table and "%" in table
    assert "✓" in tab.inner_text("#probes-answers")
    tab.locator("#probes-panel").screenshot(path=screenshots / "probes.png")
    with tab.expect_download() as download:
        tab.click("#probes-csv")
    assert "Tulip" in open(download.value.path(), encoding="utf-8").read()

    bad = tmp_path / "bad.csv"
    bad.write_text("name\nx\n")
    tab.set_input_files(PROBE_FILE, str(bad))
    tab.wait_for_selector("#probes-status .dm-warn")
    assert "question" in tab.inner_text("#probes-status")
    good = tmp_path / "good.jsonl"
    good.write_text("".join(f'{{"question": "Who is number {i}?", "answer": "me"}}\n' for i in range(200)))
    tab.set_input_files(PROBE_FILE, str(good))
    tab.wait_for_selector("#probes-status .dm-good:has-text('200 probes')")
    tab.click("#probes-run")
    tab.wait_for_function("document.querySelector('#probes-status').innerText.includes('of 200')")
    tab.click("#probes-cancel:enabled")
    tab.wait_for_selector("#probes-run:enabled")
    assert "Stopped" in tab.inner_text("#probes-status") or "Cancelled" in tab.inner_text("#probes-status")


def test_planted_facts_become_a_transcript_with_probes(open_page):
    tab = open_page()
    tab.click("#dm-below button[role=tab] >> nth=1")
    tab.click("#probes-plant button >> nth=0")
    tab.click("#plant-make")
    tab.wait_for_selector("#probes-status .dm-good")
    assert "Planted facts" in tab.inner_text("#history-summary")
    assert tab.is_enabled("#history-write")
    assert tab.locator("#question-2").is_visible()


def test_difference_edit_and_copy(open_page, screenshots):
    tab = open_page()
    limit_answers(tab)
    example(tab)
    write(tab)
    ask(tab)
    finished(tab)
    tab.click("#dm-below button[role=tab] >> nth=2")
    tab.wait_for_selector("#difference-shown ins")
    assert "shared" in tab.inner_text("#difference-shown")
    tab.locator("#difference-panel").screenshot(path=screenshots / "difference.png")
    tab.fill("#ask-text textarea", "half a thought")
    tab.click("#ask-edit")
    tab.wait_for_selector("#ask-note .dm-warn")
    assert tab.input_value("#ask-text textarea") == "half a thought"
    tab.fill("#ask-text textarea", "")
    tab.click("#ask-edit")
    tab.wait_for_function("q => document.querySelector('#ask-text textarea').value === q", arg=QUESTION)
    assert tab.locator("#chat-0 [data-testid=bot]").count() == 0


def test_integrity_is_shown_and_the_report_holds_it(open_page, tmp_path):
    tab = open_page()
    tab.wait_for_selector("#integrity .dm-fine")
    tab.click("#session-report")
    tab.wait_for_selector("#session-status .dm-warn")
    limit_answers(tab)
    example(tab)
    write(tab)
    ask(tab)
    finished(tab)
    tab.wait_for_function("document.querySelector('#integrity').textContent.includes('δ-mem, state only')")
    with tab.expect_download(timeout=600_000) as download:
        tab.click("#session-report")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    with zipfile.ZipFile(path) as report:
        names = report.namelist()  # all in one folder
        record = json.loads(report.read(next(name for name in names if name.endswith("/report.json"))))
    assert {"report.html", "report.md"} <= {name.rpartition("/")[2] for name in names}
    assert any(name.endswith(".svg") for name in names) and any(name.endswith(".png") for name in names)
    assert [arm["title"] for arm in record["arms"]] == ["Base", "δ-mem, state only"]
    assert record["history"]["messages"] == 8
