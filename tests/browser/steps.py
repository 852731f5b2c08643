"""What a visitor does, as functions on a tab."""

from contextlib import contextmanager

import pytest

QUESTION = "What is my boat called?"


def limit_answers(tab, tokens=12):
    tab.click("#ask-settings button >> nth=0")
    field = tab.locator("#ask-max-tokens input[type=number]")
    for _ in range(400):  # a field that has just appeared may still be given its first value
        field.fill(str(tokens))
        field.press("Tab")
        tab.wait_for_timeout(150)
        if field.input_value() == tab.input_value("#ask-max-tokens input[type=range]") == str(tokens):
            break
    else:
        pytest.fail("the answer limit does not take a value")
    tab.click("#ask-settings button >> nth=0")


def upload(tab, path):
    tab.set_input_files("#history-file input[type=file]", str(path))


def example(tab, name="boat"):
    tab.click(f"#example-{name}")
    tab.wait_for_selector("#history-write:enabled")


def write(tab):
    tab.click("#history-write:enabled")
    tab.wait_for_selector("#history-status .dm-good")


def ask(tab, question=QUESTION):
    tab.fill("#ask-text textarea", question)
    with answering(tab):
        tab.press("#ask-text textarea", "Enter")


def retry(tab):
    """Ask the last question again and wait for the answers."""
    with answering(tab):
        tab.click("#ask-retry:enabled")
    finished(tab)


@contextmanager
def answering(tab):
    """Wait until what is done inside has set the columns to answering, however soon they are done with it."""
    tab.evaluate(
        "() => { window.began = false; const stop = document.querySelector('#ask-stop');"
        " new MutationObserver(() => { window.began ||= !stop.disabled; }).observe(stop, {attributes: true}); }"
    )
    yield
    tab.wait_for_function("window.began")


def finished(tab):
    tab.wait_for_selector("#ask-stop:disabled", timeout=600_000)
    tab.wait_for_selector("#ask-send:enabled")


def choose(tab, *keys):
    """Press the chips of columns, one after the other."""
    for key in keys:
        before = tab.locator(".dm-arm:visible").count()
        chip = tab.locator(f"#arms-chosen input[name={key}]")
        now = chip.is_checked()
        chip.click()
        tab.wait_for_function(
            "n => [...document.querySelectorAll('.dm-arm')].filter(e => e.offsetParent).length === n",
            arg=before + (-1 if now else 1),
            timeout=600_000,
        )


def answers(tab):
    """What stands last in each column."""
    shown = range(tab.locator(".dm-arm:visible").count())
    return [tab.locator(f"#chat-{index} [data-testid=bot]").last.inner_text().strip() for index in shown]


def shown(tab, image, previous=None):
    """Wait until a figure is there (another one than `previous`) and return its address."""
    tab.wait_for_selector(f"#{image} img", state="attached")
    tab.locator(f"#{image} img").scroll_into_view_if_needed()  # pictures far below are not fetched
    tab.wait_for_function(
        "([id, old]) => { const i = document.querySelector(`#${id} img`);"
        " return i && i.complete && i.naturalWidth > 500 && i.src !== old; }",
        arg=[image, previous],
    )
    return tab.get_attribute(f"#{image} img", "src")


def nothing_overflows(tab):
    """The page does not scroll sideways."""
    wider = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"the page is {wider} pixels wider than the window"
