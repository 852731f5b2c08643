"""Writing history: progress, cancelling, another adapter, saving and loading the page."""

import json
import zipfile

import numpy as np
import pytest

from deltamem.runtime.errors import SessionFileError
from deltamem.transcripts import Transcript
from ui.background import Stopped, in_background
from ui.bundle import BundleError, load_page, save_page
from ui.history import count_tokens, switch_adapter, write, written_tokens
from ui.talk import talk
from ui.workspace import Workspace

CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "The name of the dog is Rex."},
]
SHORT = {"max_new_tokens": 5}


def transcript(times=1):
    return Transcript(CHAT * times, "test", [], ["What is the dog called?"])


def run(steps):
    return list(steps)


def states(workspace):
    return workspace.memory.session.snapshots[-1].states


def test_history_reaches_the_memory_and_no_prompt(workspace):
    one = transcript()
    workspace.transcript = one
    run(count_tokens(workspace, one))
    assert workspace.unwritten
    run(write(workspace, one))
    assert not workspace.unwritten
    assert written_tokens(workspace) == sum(workspace.token_counts)
    assert np.abs(states(workspace)).max() > 0
    run(talk(workspace, "What is the dog called?", **SHORT))
    assert all(arm.stats["history_tokens"] == 0 for arm in workspace.arms.values())
    prompts = {arm.stats["prompt_tokens"] for arm in workspace.arms.values()}
    assert len(prompts) == 1  # the same prompt in both columns: only the memory differs


def test_stopping_leaves_everything_as_it_was(workspace):
    steps = write(workspace, transcript(400))
    next(steps)
    workspace.stop.set()
    with pytest.raises(Stopped):
        run(steps)
    assert workspace.histories == []
    assert all(arm.session.history == [] for arm in workspace.arms.values())


def test_closing_the_tab_stops_the_writing(workspace):
    steps = write(workspace, transcript(400))
    next(steps)
    steps.close()
    assert workspace.histories == []
    assert workspace.memory.session.history == []


def test_a_failure_in_one_column_leaves_all_as_they_were(workspace, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("broken")

    monkeypatch.setattr(workspace.arms["base"].session, "preload", broken)
    with pytest.raises(ValueError):
        run(write(workspace, transcript()))
    assert workspace.memory.session.history == []


def test_switching_the_adapter_writes_again(workspace):
    run(write(workspace, transcript()))
    run(write(workspace, transcript(2)))
    run(talk(workspace, "hello", **SHORT))
    run(switch_adapter(workspace, "MSW"))
    assert workspace.adapter == workspace.memory.session.adapter == "MSW"
    assert workspace.memory.session.history == CHAT * 3
    assert states(workspace).shape == (4, 3, 4, 4)
    assert all(arm.chat == [] and arm.session.messages == [] for arm in workspace.arms.values())


def test_a_stopped_switch_keeps_the_old_memory(workspace):
    run(write(workspace, transcript(300)))
    before = states(workspace)
    steps = switch_adapter(workspace, "MSW")
    next(steps)
    workspace.stop.set()
    with pytest.raises(Stopped):
        run(steps)
    assert workspace.adapter == "TSW"
    assert np.array_equal(states(workspace), before)


def test_reset_keeps_the_upload_at_hand(workspace):
    workspace.transcript = transcript()
    run(write(workspace, workspace.transcript))
    run(talk(workspace, "hello", **SHORT))
    workspace.reset()
    assert workspace.unwritten
    assert np.abs(states(workspace)).max() == 0
    assert all(arm.chat == [] and arm.stats is None for arm in workspace.arms.values())


def test_background_work_reports_and_raises(workspace):
    def work(report):
        report(1, 2)
        return "done"

    steps = in_background(work, workspace.stop)
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert end.value.value == "done"

    def failing(report):
        raise KeyError("gone")

    with pytest.raises(KeyError):
        run(in_background(failing, workspace.stop))


@pytest.fixture
def saved(workspace, tmp_path):
    """A page with history, a whole turn, and one that was stopped before the first word."""
    run(switch_adapter(workspace, "MSW"))
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
    assert other.adapter == "MSW"
    assert {key: arm.chat for key, arm in other.arms.items()} == {key: arm.chat for key, arm in workspace.arms.items()}
    assert np.array_equal(states(other), states(workspace))
    assert other.histories[0].questions == ["What is the dog called?"]
    assert not other.unwritten
    for one in (workspace, other):
        run(talk(one, "and the sea?", **SHORT))
    assert other.memory.chat[-1] == workspace.memory.chat[-1]


def test_a_single_session_file_fills_its_column(model, workspace, saved, tmp_path):
    path = tmp_path / "memory.safetensors"
    workspace.memory.session.save(path)
    other = Workspace(model)
    notes = load_page(other, path)
    assert "δ-mem only" in notes[0]
    assert other.memory.chat == workspace.memory.session.messages
    assert other.arms["base"].session.history == CHAT
    assert other.arms["base"].chat[1]["content"] == ""


def rewrite(path, change):
    """The ZIP at `path` with its parts {name: bytes} changed in place by `change`."""
    with zipfile.ZipFile(path) as bundle:
        parts = {name: bundle.read(name) for name in bundle.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data in parts.items():
            bundle.writestr(name, data)


def page_with(**changes):
    def change(parts):
        parts["page.json"] = json.dumps({**json.loads(parts["page.json"]), **changes})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.pop("page.json"), "no page.json"),
        (lambda parts: parts.pop("base.safetensors"), "no base.safetensors"),
        (lambda parts: parts.update({"page.json": b"{"}), "damaged"),
        (lambda parts: parts.update({"page.json": b"[" * 5000}), "damaged"),
        (lambda parts: parts.update({"memory.safetensors": parts["base.safetensors"]}), "not one of the column"),
        (page_with(version=2), "version 2"),
        (page_with(turns=[{"question": 1, "kept": []}]), "version 1"),
        (page_with(turns=[]), "do not belong together"),
        (page_with(questions=3), "damaged"),
    ],
)
def test_damaged_pages_change_nothing(workspace, saved, change, said):
    before = {key: (arm.session, list(arm.chat)) for key, arm in workspace.arms.items()}
    rewrite(saved, change)
    with pytest.raises(BundleError) as error:
        load_page(workspace, saved)
    assert said in str(error.value)
    assert "“Save session”" in str(error.value) or "column" in str(error.value)
    assert {key: (arm.session, arm.chat) for key, arm in workspace.arms.items()} == before


def test_other_files_are_refused_in_one_sentence(workspace, saved, tmp_path):
    rewrite(saved, lambda parts: parts.update({"memory.safetensors": b"nonsense"}))
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    for wrong in (saved, path, tmp_path / "missing.zip"):
        with pytest.raises(SessionFileError) as error:
            load_page(workspace, wrong)
        assert "\n" not in str(error.value)
