"""Nothing of one visitor reaches another: sessions, pages, and the files they download."""

import json
import random
import threading
from pathlib import Path

import pytest

from deltamem.runtime.decoder import Decoder
from deltamem.transcripts import Transcript
from tests.reliability.isolation import alone, canary, leaks, questions, together, told
from tests.reliability.serving import Visitor, client, event, join, press, served
from ui.history import write
from ui.talk import talk
from ui.workspace import Workspace

SESSIONS, TOKENS = 50, 4


def test_sessions_side_by_side_are_as_alone(model, tmp_path):
    model.decoder = Decoder(model)  # the first answers wait for its trial together
    sessions = together(model, SESSIONS, TOKENS)
    assert leaks(sessions, tmp_path) == []
    for index, session in enumerate(sessions):
        assert told(session) == told(alone(model, index, TOKENS)), index


def visit(page, index):
    yield from write(page, Transcript([{"role": "user", "content": f"The word is {canary(index)}."}], "test"))
    for question in questions(index):
        yield from talk(page, question, max_new_tokens=TOKENS)


def shown(page):
    return {key: (told(column.session), column.chat) for key, column in page.arms.items()}


def test_pages_side_by_side_are_as_alone(model):
    """Their columns answer in batches, so a page is compared with a page."""
    pages, dice = [Workspace(model) for _ in range(12)], random.Random(0)
    running = {index: visit(page, index) for index, page in enumerate(pages)}
    while running:
        index = dice.choice(list(running))
        if next(running[index], running) is running:
            del running[index]
    for index, page in enumerate(pages):
        only = Workspace(model)
        for _ in visit(only, index):
            pass
        assert shown(page) == shown(only)
        text = str(shown(page))
        assert canary(index) in text and not any(canary(other) in text for other in range(12) if other != index)


def test_the_files_of_a_page_lie_under_a_name_of_their_own_and_go_with_it(model, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    first, second = Workspace(model), Workspace(model)
    for page in (first, second):
        (page.folder / "a.zip").write_bytes(b"the same")
    assert first.folder != second.folder and first.folder.parent == tmp_path
    assert all(len(page.folder.name) > 32 and page.folder.stat().st_mode & 0o077 == 0 for page in (first, second))
    first.close()
    assert not first.folder.exists() or not list(first.folder.iterdir())
    assert (second.folder / "a.zip").exists()


@pytest.fixture(scope="module")
def address(place, model):
    with served(place) as page:
        yield page.address


def test_downloads_of_one_visitor_cannot_be_had_by_another(address):
    """Files have addresses that say nothing, differ for equal contents, and end with the page they belong to."""
    config = client(address).get("/config").json()
    save = event(config, "session-save")
    visitors = [Visitor(address, config) for _ in range(2)]
    paths = []
    for visitor in visitors:
        said = press(visitor, save)
        (path,) = {one for one in files(said[-1]) if one.endswith(".zip")}
        paths.append(path)
        assert client(address).get(f"/gradio_api/file={path}").status_code == 200  # who has the address may read it
    assert paths[0] != paths[1]
    folders = [Path(path).parent.name for path in paths]
    assert all(len(folder) > 32 for folder in folders)
    for guess in (folders[0][:-1] + "x", "", "../" + folders[0][:20], folders[0] + "/.."):
        path = Path(paths[0]).parents[1] / guess / Path(paths[0]).name
        assert client(address).get(f"/gradio_api/file={path}").status_code in (403, 404)
    for folder in (Path(paths[0]).parent, Path(paths[0]).parents[1]):
        assert client(address).get(f"/gradio_api/file={folder}/").status_code in (403, 404)
    visitors[0].leave()
    answer = client(address)
    for _ in range(100):
        if answer.get(f"/gradio_api/file={paths[0]}").status_code != 200:
            break
        threading.Event().wait(0.1)
    assert answer.get(f"/gradio_api/file={paths[0]}").status_code in (403, 404)
    assert answer.get(f"/gradio_api/file={paths[1]}").status_code == 200
    visitors[1].leave()


def files(value):
    """Paths of all files in an event's message."""
    found, rest = set(), [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            found |= {one["path"]} if isinstance(one.get("path"), str) else set()
            rest += one.values()
        elif isinstance(one, list):
            rest += one
    return found


def test_a_visitor_who_left_is_forgotten_and_another_cannot_take_over(address):
    """The name of a page is random and in nobody else's hands; without it, or after it, there is only a sentence."""
    config = client(address).get("/config").json()
    ask = event(config, "ask-send")
    visitor = Visitor(address, config)
    assert press(visitor, ask, {"ask-text": f"My word is {canary(7)}."})[-1]["success"]
    for name in ("", "x", visitor.name[:-1], visitor.name.upper()):
        said = json.dumps(
            join(client(address), ask, visitor.inputs(ask, {"ask-text": "What is the word?"}), name or "-")[1]
        )
        assert canary(7) not in said and "loading" in said
    visitor.leave()
    for _ in range(100):
        said = json.dumps(press(visitor, ask, {"ask-text": "What is the word?"}))
        if "lost its connection" in said:
            break
        threading.Event().wait(0.1)
    assert "lost its connection" in said and canary(7) not in said
