"""The page in a file: everything comes back as it was, and nothing in a file is believed."""

import json
import zipfile

import numpy as np
import pytest

from deltamem.core.errors import DeltaMemError
from deltamem.runtime.errors import SessionFileError
from ui.arms import choose, make
from ui.bundle import load_page, save_page
from ui.history import write
from ui.record import BundleError
from ui.talk import take_back, talk
from ui.workspace import Workspace

from .test_history import CHAT, SHORT, run, states, transcript


@pytest.fixture
def saved(workspace, tmp_path):
    """A page with a column made by hand, history, a whole turn, and one that was stopped before the first word."""
    own = make(workspace, memory=True, context="recent", recent_turns=2, adapter="MSW", strength=0.5)
    run(choose(workspace, ["base-rag", "memory", own]))
    run(write(workspace, transcript()))
    run(talk(workspace, "What is the dog called?", **SHORT))
    steps = talk(workspace, "never answered", **SHORT)
    next(steps)
    workspace.stop.set()
    run(steps)
    workspace.stop.clear()
    path = tmp_path / "page.zip"
    save_page(workspace, path)
    return path


def test_a_saved_page_goes_on_where_it_was(model, workspace, saved):
    other = Workspace(model)
    assert load_page(other, saved) == []
    assert list(other.arms) == list(workspace.arms)
    for one, two in zip(other.arms.values(), workspace.arms.values(), strict=True):
        assert (one.arm, one.chat, one.done) == (two.arm, two.chat, two.done)
    assert np.array_equal(states(other), states(workspace))
    assert other.histories[0].questions == ["What is the dog called?"]
    assert not other.unwritten
    assert other.turns == workspace.turns
    for one in (workspace, other):
        run(talk(one, "and the sea?", **SHORT))
    assert [c.chat for c in other.arms.values()] == [c.chat for c in workspace.arms.values()]
    run(choose(other, ["base", *other.arms]))  # the steps are there for a new column too
    assert other.arms["base"].session.history == CHAT and len(other.arms["base"].session.messages) == 6
    assert take_back(other) == "and the sea?"


def test_a_single_session_file_gets_a_column(model, workspace, saved, tmp_path):
    path = tmp_path / "memory.safetensors"
    for column in workspace.arms.values():
        column.session.save(path)
        other = Workspace(model)
        notes = load_page(other, path)
        title = column.arm.title
        assert title in notes[0]
        found = next(c for c in other.arms.values() if c.arm.title == title)
        assert found.chat == column.session.messages
        beside = next(c for c in other.arms.values() if c is not found)
        assert beside.session.history == CHAT
        assert "not asked" in beside.chat[1]["content"]
        run(talk(other, "and the sea?", **SHORT))


def rewrite(path, change):
    """The ZIP at `path` with its parts {name: bytes} changed in place by `change`."""
    with zipfile.ZipFile(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in parts.items():
            bundle.writestr(name, data)


def page_with(change):
    def rewritten(parts):
        page = json.loads(parts["page.json"])
        change(page)
        parts["page.json"] = json.dumps(page)

    return rewritten


def swap(parts):
    parts["column-1.safetensors"] = parts["column-2.safetensors"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.pop("page.json"), "no page.json"),
        (lambda parts: parts.pop("column-1.safetensors"), "no column-1.safetensors"),
        (lambda parts: parts.update({"page.json": b"{"}), "damaged"),
        (lambda parts: parts.update({"page.json": b"[" * 5000}), "damaged"),
        (swap, "not one of the column"),
        (page_with(lambda page: page.update(version=1)), "version 1"),
        (page_with(lambda page: page["steps"].append({"question": 1, "kept": [], "sampling": {}})), "damaged"),
        (page_with(lambda page: page["steps"][1].update(sampling={"seed": -1})), "damaged"),
        (page_with(lambda page: page["steps"].pop()), "damaged"),
        (page_with(lambda page: page["steps"][0].update(history=99)), "do not belong together"),
        (page_with(lambda page: page["steps"][1].update(kept=[])), "do not belong together"),
        (page_with(lambda page: page.update(questions=3)), "damaged"),
        (page_with(lambda page: page.update(columns=page["columns"][:1])), "damaged"),
        (page_with(lambda page: page.update(columns=page["columns"] * 2)), "damaged"),
        (page_with(lambda page: page["columns"][0]["arm"].update(strength=3)), "damaged"),
        (page_with(lambda page: page["columns"][0]["chat"][0].update(role="system")), "damaged"),
        (page_with(lambda page: page["columns"][0]["chat"][0].update(html="<b>")), "damaged"),
        (page_with(lambda page: page["columns"][0].update(done=9)), "damaged"),
    ],
)
def test_damaged_pages_change_nothing(workspace, saved, change, said):
    before = dict(workspace.arms), list(workspace.steps)
    rewrite(saved, change)
    with pytest.raises((BundleError, DeltaMemError)) as error:
        load_page(workspace, saved)
    assert said in str(error.value) and "\n" not in str(error.value)
    assert (workspace.arms, workspace.steps) == before


def test_other_files_are_refused_in_one_sentence(workspace, saved, tmp_path):
    rewrite(saved, lambda parts: parts.update({"column-2.safetensors": b"nonsense"}))
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    for wrong in (saved, path, tmp_path / "missing.zip"):
        with pytest.raises(SessionFileError) as error:
            load_page(workspace, wrong)
        assert "\n" not in str(error.value)
