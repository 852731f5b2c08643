"""What controls set on a session: frozen writes, layers that do not steer, a replaced state; and going back."""

import numpy as np
import pytest

from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError, SessionFileError
from tests.runtime.conftest import same_states
from tests.runtime.sessions import forge

HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
]
CONTEXTS = ("none", "recent", "rag", "full")


def told(model, **options):
    session = Session(model, **options)
    session.preload(HISTORY)
    return session


def zero(session):
    return np.zeros_like(session.snapshots[-1].states)


@pytest.mark.parametrize("label", ["TSW", "SSW"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_frozen_writes_leave_the_state_alone(model, sent, context, label):
    session = told(model, context=context, adapter=label)
    session.writes = False
    before = session.snapshots[-1].states
    sent.clear()
    for _ in range(2):
        *_, last = session.reply("Who?", max_new_tokens=4)
        assert (session.snapshots[-1].states == before).all() and sent.written == []
        assert last.stats["written_tokens"] == 0 and last.stats["layer_writes"] == [0, 0]
        assert np.isnan(session.snapshots[-1].beta).all()
    session.writes = True
    session.ask("Who?", max_new_tokens=4)
    assert (session.snapshots[-1].states != before).any()


def test_a_session_frozen_from_the_start_stays_empty(model):
    session = told(model, writes=False)
    session.ask("Who?", max_new_tokens=4)
    assert not any(snapshot.states.any() for snapshot in session.snapshots)
    assert session.stats()["writes"] is False and session.stats()["history_written_tokens"] == 0


def test_all_layers_off_answers_like_the_backbone(model):
    session, base = told(model), told(model, memory=False)
    with_memory = session.branch().ask("Who?", max_new_tokens=8)
    session.layers_off = range(4)
    assert session.ask("Who?", max_new_tokens=8) == base.ask("Who?", max_new_tokens=8) != with_memory
    assert session.snapshots[-1].written_tokens and session.snapshots[-1].beta.min() > 0, "they go on writing"


def test_one_layer_off_changes_that_layer_alone(model):
    """The last layer's steer cannot reach any other layer's input, so all states agree; the answer may not."""
    whole, less = told(model), told(model, layers_off=[3, 3])
    assert same_states(whole, less) and less.layers_off == (3,)
    first = told(model, layers_off=[0])
    assert not same_states(whole, first)
    assert (whole.snapshots[-1].states[0] == first.snapshots[-1].states[0]).all()


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_zero_state_forgets_the_history_and_undo_brings_it_back(model, context):
    session = told(model, context=context)
    answer = session.branch().ask("Who?", max_new_tokens=8)
    twin = session.branch()
    session.replace_states(zero(session), "zero state")
    assert session.snapshots[-1].label == "zero state" and not session.snapshots[-1].states.any()
    assert session.history == HISTORY and session.messages == []
    frozen, base = session.branch(), told(model, memory=False, context=context)
    frozen.writes = False
    assert frozen.ask("Who?", max_new_tokens=8) == base.ask("Who?", max_new_tokens=8)
    session.ask("And?", max_new_tokens=3)
    session.undo()
    assert session.undo() == [] and same_states(session, twin)
    assert session.ask("Who?", max_new_tokens=8) == twin.ask("Who?", max_new_tokens=8) == answer


@pytest.mark.parametrize("context", CONTEXTS)
def test_another_state_and_the_settings_are_saved(model, tmp_path, context):
    session, other = told(model, context=context, adapter="MSW"), Session(model, adapter="MSW")
    other.preload("He likes the sea.")
    session.replace_states(other.snapshots[-1].states, "another state")
    session.replace_states(other.snapshots[-1].states * 2, "another state")
    session.ask("Who?", max_new_tokens=4)
    session.layers_off, session.writes = [1, 2], False
    session.save(tmp_path / "one.safetensors")
    loaded = Session.load(model, tmp_path / "one.safetensors")
    assert [s.label for s in loaded.snapshots] == ["history", "another state", "another state 2", "turn 1"]
    assert loaded.stats() | {"kv_bytes": 0} == session.stats() | {"kv_bytes": 0} and same_states(loaded, session)
    assert loaded.layers_off == (1, 2) and loaded.writes is False
    assert loaded.branch().ask("And?", max_new_tokens=6) == session.branch().ask("And?", max_new_tokens=6)
    for _ in range(3):
        assert loaded.undo() == session.undo()
    assert loaded.ask("And?", max_new_tokens=6) == session.ask("And?", max_new_tokens=6)


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_state_can_come_before_any_message(model, sent, context):
    session, other = Session(model, context=context, system="Be kind."), told(model)
    session.replace_states(other.snapshots[-1].states)
    assert (session.branch().snapshots[-1].states == other.snapshots[-1].states).all()
    session.ask("Who?", max_new_tokens=3)
    assert "Be kind." in model.tokenizer.decode(sent.written), "the system message opens the first told step"
    assert model.tokenizer.decode(sent.ids).count("Be kind.") == 1, "and no replaced state"
    assert session.stats()["turns"] == 1


def test_kept_kv_is_computed_again_and_said_so(model):
    session = told(model, context="full")
    session.ask("Who?", max_new_tokens=3)
    *_, last = session.reply("Who?", max_new_tokens=3)
    assert last.stats["rebuilt_tokens"] == 0 and last.stats["layer_writes"] == [last.stats["written_tokens"]] * 2
    held = session._kept.ends[-1]
    session.layers_off = [0]
    twin = session.branch()
    twin.prepare()
    *_, last = session.reply("Who?", max_new_tokens=3)
    assert last.stats["rebuilt_tokens"] == held
    *_, last = twin.reply("Who?", max_new_tokens=3)
    assert last.stats["rebuilt_tokens"] == 0 and twin.messages == session.messages


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers_off": [4]}, "no layer 4 to turn off; this adapter has 4 layers, numbered 0 to 3"),
        ({"layers_off": ["1"]}, "no layer '1'"),
        ({"layers_off": [True]}, "no layer True"),
        ({"layers_off": [0], "memory": False}, "without memory"),
        ({"layers_off": None}, "layers_off is None; give a list"),
        ({"adapter": ["TSW"]}, "no adapter"),
    ],
)
def test_settings_out_of_range_are_refused(model, options, said):
    with pytest.raises(SessionError, match=said):
        Session(model, **options)


@pytest.mark.parametrize(
    "states",
    [
        np.zeros((4, 1, 4, 5)),
        np.zeros((4, 1, 4, 4), int),
        np.full((4, 1, 4, 4), np.nan),
        np.full((4, 1, 4, 4), 1e300),
        [[1.0], [1.0, 2.0]],
    ],
)
def test_states_that_do_not_fit_are_refused(model, states):
    session = told(model)
    with pytest.raises(SessionError, match="The state"):
        session.replace_states(states)
    assert len(session.snapshots) == 1
    with pytest.raises(SessionError, match="no memory"):
        Session(model, memory=False).replace_states(states)


def test_files_of_version_1_still_load(model, tmp_path):
    session = told(model)
    session.ask("Who?", max_new_tokens=3)
    path = tmp_path / "old.safetensors"
    session.save(path)

    def older(content):
        content["version"] = 1
        for name in ("passages", "writes", "layers_off"):
            del content["settings"][name]
        for step in content["steps"]:
            step["stats"].pop("layer_writes", None), step["stats"].pop("rebuilt_tokens", None)

    path.write_bytes(forge(path.read_bytes(), older))
    loaded = Session.load(model, path)
    assert same_states(loaded, session) and loaded.writes is True and loaded.layers_off == ()
    assert loaded.ask("Who?", max_new_tokens=5) == session.ask("Who?", max_new_tokens=5)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"stats": {}}, "note"),
        ({"stats": {"note": " "}}, "empty"),
        ({"messages": HISTORY}, "state with messages"),
        ({"written_tokens": 3}, "state with messages"),
    ],
)
def test_a_damaged_state_step_is_refused(model, tmp_path, step, said):
    session = told(model)
    session.replace_states(zero(session))
    path = tmp_path / "bad.safetensors"
    session.save(path)
    path.write_bytes(forge(path.read_bytes(), lambda content: content["steps"][1].update(step)))
    with pytest.raises(SessionFileError, match=said):
        Session.load(model, path)


def test_a_trace_knows_frozen_steps_and_skips_replaced_states(model):
    session = told(model)
    session.writes = False
    session.ask("Who?", max_new_tokens=3)
    session.writes = True
    session.replace_states(zero(session), "zero state")
    trace = session.trace()
    assert trace.label == "turn 1" and not trace.written.any() and np.isnan(trace.beta).all()
    assert (trace.influence > 0).any() and session.trace("history").written.all()
    with pytest.raises(SessionError, match="no step 'zero state'"):
        session.trace("zero state")
