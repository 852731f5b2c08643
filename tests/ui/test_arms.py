"""Choosing columns: a new one catches up, one that goes comes back whole, what contradicts itself is refused."""

import numpy as np
import pytest

from deltamem.compare.errors import ArmError
from deltamem.transcripts import Transcript
from ui.arms import choose, make
from ui.background import Stopped
from ui.history import ABSENT, write
from ui.talk import take_back, talk

CHAT = [{"role": "user", "content": "My dog is called Rex."}, {"role": "assistant", "content": "Hello Rex!"}]
SHORT = {"max_new_tokens": 5, "temperature": 0.0, "top_p": 1.0, "seed": 0}


def run(steps):
    return list(steps)


def began(workspace):
    run(talk(workspace, "one", **SHORT))
    run(write(workspace, Transcript(CHAT, "test")))
    run(talk(workspace, "What is the dog called?", **SHORT))


def test_a_new_column_is_brought_to_where_the_others_are(workspace):
    began(workspace)
    run(choose(workspace, ["base", "memory", "memory-rag"]))
    assert list(workspace.arms) == ["base", "memory", "memory-rag"]
    new = workspace.arms["memory-rag"]
    assert new.session.history == CHAT
    assert [m["content"] for m in new.chat[::2]] == ["one", "What is the dog called?"]
    assert new.chat == new.session.messages and new.stats["passages"]
    assert all("memory-rag" in turn.kept for turn in workspace.turns)
    assert new.done == 3


def test_the_same_arm_from_the_start_or_later_is_the_same(workspace, model):
    began(workspace)
    run(choose(workspace, ["base", "memory", "memory-full"]))
    later = workspace.arms["memory-full"]
    other = type(workspace)(model)
    run(choose(other, ["memory", "memory-full"]))
    began(other)
    first = other.arms["memory-full"]
    assert later.chat == first.chat
    # To rounding: answers drawn side by side are one batch.
    assert np.allclose(later.session.snapshots[-1].states, first.session.snapshots[-1].states, atol=1e-4)


def test_without_replay_earlier_questions_stand_as_not_asked(workspace):
    began(workspace)
    run(choose(workspace, ["base", "memory", "base-rag"], replay=False))
    new = workspace.arms["base-rag"]
    assert [m["content"] for m in new.chat[1::2]] == [ABSENT, ABSENT]
    assert new.session.messages == [] and new.session.history == CHAT
    assert take_back(workspace) == "What is the dog called?"
    assert len(new.chat) == 2


def test_a_column_that_goes_comes_back_with_its_conversation(workspace):
    began(workspace)
    chat, states = list(workspace.memory.chat), workspace.memory.session.snapshots[-1].states
    run(choose(workspace, ["base", "base-rag"]))
    assert workspace.memory is None
    run(choose(workspace, ["base", "memory"]))
    assert workspace.memory.chat == chat
    assert np.array_equal(workspace.memory.session.snapshots[-1].states, states)
    # What was taken back meanwhile is taken back there too, what was asked is asked there too.
    run(choose(workspace, ["base", "base-rag"]))
    take_back(workspace)
    run(talk(workspace, "two", **SHORT))
    run(choose(workspace, ["base", "memory"]))
    assert [m["content"] for m in workspace.memory.chat[::2]] == ["one", "two"]
    assert workspace.memory.chat == workspace.memory.session.messages


def test_stopping_leaves_the_columns_as_they_were(workspace):
    run(write(workspace, Transcript(CHAT * 200, "test")))
    before = dict(workspace.arms)
    own = make(workspace, memory=True, context="none", adapter="MSW")
    steps = choose(workspace, ["base", "memory", own])
    next(steps)
    workspace.stop.set()
    with pytest.raises(Stopped):
        run(steps)
    assert workspace.arms == before and workspace.shelf == {}


def test_two_to_four_columns(workspace):
    for keys in ([], ["base"], ["base", "base-rag", "base-full", "memory", "memory-rag"]):
        with pytest.raises(ArmError, match="from 2 to 4"):
            run(choose(workspace, keys))
    assert list(workspace.arms) == ["base", "memory"]


def test_columns_made_by_hand(workspace):
    key = make(workspace, memory=True, context="recent", recent_turns=2, adapter="MSW", strength=0.5)
    assert workspace.known[key].title == "δ-mem MSW × 0.5 + last 2 turns"
    assert make(workspace, memory=True, context="recent", recent_turns=2, adapter="MSW", strength=0.5) == key
    # The default adapter said aloud is still the preset.
    assert make(workspace, memory=True, context="none", adapter="TSW") == "memory"
    run(choose(workspace, ["base", key]))
    assert workspace.memory.session.adapter == "MSW"
    assert workspace.memory.session.strength == 0.5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memory": False, "context": "none", "strength": 2.0}, "memory is off"),
        ({"memory": True, "context": "none", "adapter": "none such"}, "no adapter"),
        ({"memory": True, "context": "recent", "recent_turns": 0}, "recent turns"),
    ],
)
def test_settings_that_contradict_each_other_are_one_sentence(workspace, settings, said):
    with pytest.raises(ArmError, match=said) as error:
        make(workspace, **settings)
    assert "\n" not in str(error.value)
    assert len(workspace.known) == 6
