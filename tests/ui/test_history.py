"""Writing history: progress, cancelling, one writing for columns that read alike, columns that cannot take it."""

import numpy as np
import pytest

from deltamem.compare.probes import Probe
from deltamem.runtime.errors import SessionError
from deltamem.transcripts import Transcript
from ui.arms import choose
from ui.background import Stopped, in_background
from ui.history import count_tokens, write, written_tokens
from ui.probing import probe
from ui.talk import talk

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


def test_reset_keeps_the_upload_at_hand(workspace):
    workspace.transcript = transcript()
    run(write(workspace, workspace.transcript))
    run(talk(workspace, "hello", **SHORT))
    workspace.reset()
    assert workspace.unwritten
    assert np.abs(states(workspace)).max() == 0
    assert all(column.chat == [] and column.stats is None for column in workspace.arms.values())


def test_columns_that_read_alike_share_one_writing(workspace, monkeypatch):
    run(choose(workspace, ["base-rag", "memory", "memory-rag", "memory-full"]))
    counted = []
    for key, column in workspace.arms.items():
        preload = column.session.preload

        def noted(*args, key=key, preload=preload, **kwargs):
            counted.append(key)
            return preload(*args, **kwargs)

        monkeypatch.setattr(column.session, "preload", noted)
    run(write(workspace, transcript()))
    assert counted == ["memory", "memory-full", "base-rag"]
    memories = [column.session.snapshots[-1].states for column in workspace.memories.values()]
    assert np.array_equal(memories[0], memories[1])
    assert np.abs(memories[0] - memories[2]).max() < 1  # full history is read in one piece: not the same to the bit
    assert workspace.arms["memory-rag"].session.stats()["context"] == "rag"
    assert all(column.session.history == CHAT for column in workspace.arms.values())


def test_after_a_turn_every_memory_is_written_by_itself(workspace):
    run(choose(workspace, ["memory", "memory-rag"]))
    run(talk(workspace, "hello", **SHORT))
    run(write(workspace, transcript()))
    assert [column.session.history for column in workspace.arms.values()] == [CHAT, CHAT]


def test_a_column_without_room_for_the_history_sits_out(workspace, monkeypatch):
    run(choose(workspace, ["base-full", "memory"]))
    run(write(workspace, transcript(150)))
    full = workspace.arms["base-full"]
    assert "sits out" in full.failure and "tokens" in full.failure
    assert workspace.memory.failure is None
    run(talk(workspace, "hello", **SHORT))
    assert full.chat == [{"role": "user", "content": "hello"}, {"role": "assistant", "content": ""}]
    assert "sits out" in full.failure and full.session.messages == []
    assert workspace.turns[0].kept == {"memory"}
    asked = []
    monkeypatch.setattr(
        workspace.device, "run", lambda job, sessions, *_: asked.append(len(sessions)) or (step for step in ())
    )
    run(probe(workspace, [Probe("Who?", ("Rex",))], False, [], 2))
    assert asked == [1], "it knows nothing of the history, so its answers would say nothing"
    workspace.reset()
    assert workspace.arms["base-full"].failure is None


def test_history_that_no_column_can_take_changes_nothing(workspace):
    run(choose(workspace, ["base-full", "memory-full"]))
    with pytest.raises(SessionError, match="tokens"):
        run(write(workspace, transcript(150)))
    assert workspace.steps == []
    assert all(column.failure is None and column.session.history == [] for column in workspace.arms.values())


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
