"""Many visitors at once at the real server: all are served or told their place; beyond the queue there is a refusal.

What it costs, and how many are too many, is measured by load.py and crowd.py beside this file.
"""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradio.state_holder import SessionState

from deltamem.runtime.errors import SessionError
from deltamem.transcripts import Transcript
from tests.reliability import crowd
from tests.reliability.crowd import AT_ONCE
from tests.reliability.load import ask, at_once
from tests.reliability.serving import Visitor, client, event, press
from tests.reliability.subjects import HISTORY
from ui.actions.common import MODEL
from ui.bundle import load_page, save_page
from ui.guard import network_options
from ui.history import write
from ui.page import WAITING, build_page
from ui.registry import LIMIT, Gone, Registry
from ui.talk import talk
from ui.workspace import Workspace


@pytest.fixture(scope="module")
def page(model):
    """The page of this process's own model, on a server in this process."""
    page = build_page(model)
    page.launch(prevent_thread_lock=True, quiet=True, **network_options())
    yield page
    page.close(verbose=False)


@pytest.fixture(scope="module")
def address(page):
    return page.local_url.rstrip("/")


@pytest.fixture(scope="module")
def config(address):
    return client(address).get("/config").json()


@pytest.fixture
def visitors(address, config):
    """Twenty open pages."""
    found = [Visitor(address, config) for _ in range(20)]
    yield found
    for one in found:
        one.leave()


def test_twenty_at_once_are_served_or_told_their_place(config, visitors):
    asked = at_once(visitors, event(config, "ask-send"), "Who is Rex?", 8)
    assert [one.error for one in asked] == [None] * 20
    assert all(one.first_s is not None for one in asked)
    assert any(one.places and one.places[0] > 0 for one in asked)  # not all could begin at once


def test_beyond_the_queue_there_is_a_refusal_and_the_next_request_works(model, address, config, visitors):
    index, one = event(config, "ask-send"), client(address)
    body = {"data": visitors[0].inputs(index, {}), "fn_index": index, "event_data": None, "trigger_id": None}
    with ThreadPoolExecutor(AT_ONCE) as crew:
        with model.lock:  # nobody's answer goes on
            answers = [crew.submit(ask, visitor, index, "Who is Rex?", 8) for visitor in visitors[:AT_ONCE]]
            codes = []
            while codes.count(503) < 3 and len(codes) < 2 * WAITING:
                answer = one.post("/gradio_api/queue/join", json=body | {"session_hash": f"crowd{len(codes)}"})
                codes.append(answer.status_code)
        assert [answer.result().error for answer in answers] == [None] * AT_ONCE
    assert WAITING <= codes.count(200) <= WAITING + AT_ONCE and codes[-3:] == [503] * 3
    assert answer.json()["detail"].startswith("Queue is full")  # which the browser's side of Gradio words for people
    assert press(visitors[-1], index, {"ask-text": "Still there?"})[-1]["success"]


def test_a_session_of_gradio_does_not_grow_with_its_answers(config, visitors):
    """For what a step leaves out Gradio makes a component anew, and keeps one more when a value follows."""

    def components():
        return sum(len(one.blocks_config.blocks) for one in gc.get_objects() if type(one) is SessionState)

    index = event(config, "ask-send")
    ask(visitors[0], index, "Who is Rex?", 8)
    before = components()
    for _ in range(3):
        assert ask(visitors[0], index, "Who is Rex?", 8).error is None
    assert components() - before <= 3  # the input's: people type there, so that most steps leave it out


def test_a_closed_page_leaves_nothing_in_gradio(page, address, config):
    """Nor do pages that were never closed add up without end: 10,000 of them would take 8 GB."""
    known = page.state_holder.session_data
    visitor = Visitor(address, config)
    assert visitor.name in known
    visitor.leave()
    for _ in range(1000):
        if visitor.name not in known:
            break
        time.sleep(0.02)
    assert visitor.name not in known
    assert page.state_holder.capacity == 2 * LIMIT


def test_the_command_counts_what_the_page_lets_through():
    assert MODEL["concurrency_limit"] == AT_ONCE


def test_a_crowd_is_counted(capsys):
    crowd.main("--model tiny --device cpu --tokens 2 --seconds 0.2".split())
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("tiny (random weights)") and said[2].startswith("1 users: first words after")
    assert "is within 2 s for" in said[-1]


def test_memory_is_given_back_when_a_job_ends(model, monkeypatch):
    """After errors and stops, too; within a minute after pages were closed."""
    given = []
    monkeypatch.setattr("ui.jobs.trim", lambda: given.append("job"))
    monkeypatch.setattr("ui.registry.trim", lambda: given.append("closed"))
    workspace = Workspace(model)
    used(workspace)
    assert given == ["job"] * 3  # history in two columns, then the answers
    next(workspace.device.run("check", [], workspace.stop, model.adapter_name))  # dropped in the midst
    with pytest.raises(SessionError):
        list(workspace.device.run("check", [], workspace.stop, "nobody"))
    assert given == ["job"] * 5
    registry = Registry(lambda: workspace)
    sweeper = registry.sweep_every(0.01)
    while "closed" not in given:
        assert sweeper.is_alive()
        time.sleep(0.01)


def used(page):
    for _ in write(page, Transcript(HISTORY, "test")):
        pass
    list(talk(page, "Who is Rex?", max_new_tokens=4))


def shown(page):
    return {key: (column.session.messages, column.session.history, column.chat) for key, column in page.arms.items()}


@pytest.mark.parametrize("why", ["time", "count"])
def test_what_is_dropped_is_freed_and_comes_back_from_its_file(model, tmp_path, why):
    """The oldest goes first, state and KV with it; the visitor is told, and a saved file brings all of it back."""
    clock = [0.0]
    registry = Registry(lambda: Workspace(model), limit=2, idle_s=100, clock=lambda: clock[0])
    key = registry.open()
    used(registry.get(key))
    save_page(registry.get(key), tmp_path / "page.zip")
    before = shown(registry.get(key))
    gone = [weakref.ref(column.session) for column in registry.get(key).arms.values()]
    clock[0] = 50
    younger = registry.open()
    if why == "time":
        clock[0] = 120
        registry.sweep()
    else:
        registry.open()
    gc.collect()
    assert [one() for one in gone] == [None, None]
    assert registry.get(younger)
    with pytest.raises(Gone, match="was dropped: reload the page to start anew, and load the session’s file"):
        registry.get(key)
    again = registry.get(registry.open())
    assert load_page(again, tmp_path / "page.zip") == []
    assert shown(again) == before
