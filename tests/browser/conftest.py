"""The real app in a process of its own, and a browser. Without a browser these tests are skipped.

BROWSER_TESTS=required: without a browser they fail.
DELTAMEM_SCREENSHOTS: folder for screenshots (default: screenshots/ here).
DELTAMEM_APP_OPTIONS: more options for app.py, such as another adapter.
"""

import os
import queue
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_S = 900  # the first start fetches the demo model
WAIT_MS = 300_000  # for anything on the page: nothing may fail because a machine is slow
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


def missing(what):
    if os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(f"{what}, and the browser tests are required")
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    place = next(filter(None, (shutil.which(name) for name in names)), "/usr/bin/chromium")
    if not Path(place).exists():
        missing("no Chromium was found")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(browser):
    """The URL of the running page; needs the browser first, so that nothing is started in vain."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-u", "app.py", "--port", str(port)]
    command += shlex.split(os.environ.get("DELTAMEM_APP_OPTIONS", ""))
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = []
    try:
        while not (said and said[-1].startswith("δ-mem playground:")):
            line = lines.get(timeout=START_S)
            if line is None:
                pytest.fail("app.py ended before it was ready: " + "".join(said))
            said.append(line)
        yield f"http://127.0.0.1:{port}/"
        rest = []
        while not lines.empty():
            rest.append(lines.get() or "")
        log = "".join(rest)
        left = re.findall(r"RuntimeError: File at path .* does not exist", log)  # asked for by a tab that was closing
        assert log.count("Traceback") == len(left), log
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="session")
def screenshots():
    folder = Path(os.environ.get("DELTAMEM_SCREENSHOTS") or Path(__file__).parent / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def open_page(browser, address):
    """open_page(width, height, scheme): a fresh tab with the page ready; what it asks of other hosts fails the test."""
    contexts, foreign, errors = [], [], []

    def open(width=1440, height=900, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.on(
            "request", lambda r: foreign.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None
        )
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.goto(address)
        tab.wait_for_selector("#ask-send:enabled")
        return tab

    yield open
    for context in contexts:
        context.close()
    assert not foreign
    assert not errors
