"""The memory panel in a real browser, wide and narrow, light and dark: every tab, every file, and the way back."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.steps import answering, example, finished, limit_answers, nothing_overflows, shown, write

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TABS = {
    "States": ("memory-atlas", "memory-layer"),
    "Gates": ("memory-gates",),
    "Change": ("memory-change", "memory-layer-change"),
    "Size": ("memory-norms", "memory-spectrum"),
    "Influence": ("memory-influence",),
}


def open_tab(tab, name):
    """Press a tab, in the menu of those that have no place when it is there. Keys only."""
    button = tab.locator(f"#memory-tabs [role=tab]:text-is('{name}')")
    if not button.count():
        tab.focus("#memory-tabs .overflow-menu > button")
        tab.keyboard.press("Enter")
        button = tab.locator(f"#memory-tabs .overflow-dropdown button:text-is('{name}')")
    button.focus()
    tab.keyboard.press("Enter")


def download(tab, selector):
    with tab.expect_download() as found:
        tab.click(selector)
    return found.value


@pytest.mark.parametrize(("width", "height", "scheme"), [(1440, 900, "light"), (390, 844, "dark")])
def test_every_way_of_looking(open_page, screenshots, width, height, scheme):
    tab = open_page(width, height, scheme)
    assert "appear here once something is written" in tab.inner_text("#memory-empty")
    limit_answers(tab, 8)
    example(tab)
    write(tab)
    shown(tab, "memory-atlas")
    with answering(tab):
        tab.click("#question-0")
    finished(tab)
    tab.wait_for_function("document.querySelector('#memory-moment').innerText.includes('turn 1')")
    for name, figures in TABS.items():
        open_tab(tab, name)
        for figure in figures:
            # The step's words come before its figures, and a figure's text before its picture.
            tab.wait_for_selector(f"#{figure} img[alt*='turn 1']", state="attached")
            shown(tab, figure)
            alt = tab.get_attribute(f"#{figure} img", "alt")
            assert "SmolLM2-135M-Instruct" in alt and "cale" in alt
            corner = tab.evaluate(
                "id => { const i = document.querySelector(`#${id} img`), c = document.createElement('canvas');"
                " c.width = c.height = 1; const g = c.getContext('2d'); g.drawImage(i, 0, 0);"
                " return [...g.getImageData(0, 0, 1, 1).data]; }",
                figure,
            )
            assert (min(corner[:3]) > 240) if scheme == "light" else (max(corner[:3]) < 60)
        tab.locator("#memory-panel").screenshot(path=screenshots / f"memory-{name.lower()}-{width}-{scheme}.png")
    open_tab(tab, "Tokens")
    tab.wait_for_selector("#memory-tokens .dm-tokens span[title^='β 0.']")
    assert "What is my boat called" in tab.inner_text("#memory-tokens .dm-tokens")
    assert "<|im_start|>" in tab.inner_text("#memory-tokens .dm-tokens")
    tab.click("#tokens-numbers > button")
    tab.wait_for_selector("#tokens-table td:text-is('boat')")
    tab.locator("#memory-panel").screenshot(path=screenshots / f"memory-tokens-{width}-{scheme}.png")
    nothing_overflows(tab)

    picture = download(tab, "#tokens-png")
    assert picture.suggested_filename == "delta-mem-tokens-turn-1.png"
    paper = np.asarray(Image.open(io.BytesIO(open(picture.path(), "rb").read())).convert("RGB"))
    assert (paper[:3] == 255).all(), "files are light, for paper"
    numbers = download(tab, "#tokens-csv")
    assert open(numbers.path(), encoding="utf-8-sig").readline().startswith("token,text,written,mean beta")

    open_tab(tab, "Change")
    shown(tab, "memory-change")
    tab.click("#memory-against input")
    tab.get_by_role("option", name="after turn 1", exact=True).click()
    tab.wait_for_selector("#memory-change img[alt*='less that after turn 1']")

    branch = download(tab, "#memory-branch")
    assert branch.suggested_filename == "delta-mem-turn-1.safetensors"
    tab.click("#memory-undo")
    tab.wait_for_function("document.querySelector('#memory-moment').innerText.includes('After the history')")
    assert tab.locator("#chat-1 .message").count() == 0
