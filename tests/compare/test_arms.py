"""Arms: presets, hand-made ones, the command line's form, and one sentence for every contradiction."""

import dataclasses

import pytest

from deltamem.compare.arms import PRESETS, Arm, make_arm, make_session, parse_arm, spans, start_session, with_control
from deltamem.compare.controls import CONTROLS
from deltamem.compare.errors import ArmError
from deltamem.runtime.errors import SessionError
from tests.compare.conftest import OTHER


def test_presets_are_the_six_named_ones():
    assert list(PRESETS) == ["base", "base-rag", "base-full", "memory", "memory-rag", "memory-full"]
    assert [arm.title for arm in PRESETS.values()] == [
        "Base", "Base + retrieval", "Base + full history",
        "δ-mem, state only", "δ-mem + retrieval", "δ-mem + full history",
    ]  # fmt: skip
    for key, arm in PRESETS.items():
        made = make_arm(arm.memory, arm.context)
        assert arm.key == key and made == arm, "a hand-made arm with a preset's settings is that preset"


@pytest.mark.parametrize(
    ("text", "key", "title", "chips"),
    [
        ("memory", "memory", "δ-mem, state only", ("memory on", "sees the question only")),
        (
            "memory:adapter=TSW,strength=0.5", "memory-TSW-x0.5", "δ-mem TSW × 0.5, state only",
            ("memory on", "sees the question only", "adapter TSW", "strength × 0.5"),
        ),
        ("base:recent=5", "base-recent5", "Base + last 5 turns", ("memory off", "sees the last 5 turns")),
        (
            " Memory-rag: passages = 8 ", "memory-rag8", "δ-mem + retrieval (8 passages)",
            ("memory on", "sees 8 retrieved passages"),
        ),
        (
            "memory:layers-off=12+0-2", "memory-layers-off-0-2+12", "δ-mem, state only, layers off: 0–2, 12",
            ("memory on", "sees the question only", "control: layers 0–2, 12 off"),
        ),
        (
            "memory-full:control=zero", "memory-full-zero", "δ-mem + full history, zero state",
            ("memory on", "sees everything", "control: zero state"),
        ),
    ],
)  # fmt: skip
def test_the_command_line_form(text, key, title, chips):
    arm = parse_arm(text)
    assert (arm.key, arm.title, arm.chips) == (key, title, chips)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delta", "no arm 'delta'; use one of base, base-rag"),
        ("memory:", "is no setting of an arm"),
        ("memory:color=red", "'color=red' is no setting of an arm; use adapter, strength"),
        ("memory:strength=much", "strength is 'much', which cannot be read; give a number such as 0.5"),
        ("memory:strength=nan", "strength is nan; use 0 to 4"),
        ("memory:strength=9", "strength is 9.0; use 0 to 4"),
        ("memory:recent=0", "recent turns is 0; use a whole number from 1 to 100"),
        ("memory:layers-off=2-1", "layers-off is '2-1'"),
        ("memory:layers-off=a", "layers-off is 'a'"),
        ("base-full:recent=2", "sees full history already"),
        ("memory:passages=3", "passages are for retrieval"),
        ("memory-rag:passages=33", "passages is 33; use a whole number from 1 to 32"),
        ("memory:control=magic", "no control 'magic'; use one of zero, other"),
        ("memory:control=layers-off", "needs the numbers of the layers"),
        ("memory:control=zero,layers-off=1", "layers are named"),
        ("base:adapter=TSW", "memory is off, so an adapter means nothing"),
        ("base:strength=2", "memory is off, so a strength means nothing"),
        ("base:control=zero", "memory is off, so a control means nothing"),
    ],
)
def test_contradictions_are_one_sentence(text, said):
    with pytest.raises(ArmError, match=said) as raised:
        parse_arm(text)
    assert str(raised.value).endswith(".") and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "a/b"}, "key is 'a/b'"),
        ({"title": " "}, "title"),
        ({"title": "x" * 81}, "81 characters"),
        ({"context": "all"}, "visible history is 'all'"),
        ({"recent_turns": True}, "recent turns is True"),
        ({"strength": "1"}, "strength is '1'"),
    ],
)
def test_arms_made_in_code_are_checked_too(change, said):
    with pytest.raises(ArmError, match=said):
        dataclasses.replace(PRESETS["memory"], **change)


def test_keys_of_different_arms_differ():
    texts = ["memory", "memory:adapter=TSW", "memory:strength=2", "memory:recent=2", "memory:recent=3", "memory-rag",
             "memory-rag:passages=2", "memory-full", "base", "base:recent=2", "memory:layers-off=1-3",
             "memory:layers-off=1+3", *(f"memory:control={c}" for c in CONTROLS if c != "layers-off")]  # fmt: skip
    arms = [parse_arm(text) for text in texts]
    assert len({arm.key for arm in arms}) == len({arm.title for arm in arms}) == len(texts)


def test_with_control_keeps_the_settings():
    arm = parse_arm("memory-rag:adapter=MSW,strength=0.5,passages=2")
    spoilt = with_control(arm, "layers-off", [3, 1])
    assert spoilt.settings() == arm.settings() | {
        "key": "memory-rag2-MSW-x0.5-layers-off-1+3", "control": "layers-off", "layers_off": [3, 1],
        "title": "δ-mem MSW × 0.5 + retrieval (2 passages), layers off: 1, 3",
    }  # fmt: skip
    with pytest.raises(ArmError, match="memory is off"):
        with_control(PRESETS["base"], "zero")


def test_spans():
    assert spans([]) == "" and spans([4]) == "4" and spans([9, 1, 2, 3, 5, 6]) == "1–3, 5–6, 9"


def test_sessions_have_the_arms_settings(model):
    session = make_session(model, parse_arm("memory-rag:adapter=msw,strength=0.5,passages=2"))
    stats = session.stats()
    assert (stats["adapter"], stats["context"], stats["strength"], stats["passages"]) == ("MSW", "rag", 0.5, 2)
    assert make_session(model, parse_arm("base:recent=2")).stats()["recent_turns"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memory:adapter=XSW", "δ-mem XSW, state only: The model has no adapter 'XSW' .it has: TSW, MSW, SSW"),
        ("memory:layers-off=3-4", "no layer 4 to turn off; this adapter has 4 layers"),
    ],
)
def test_what_the_model_lacks_is_said_before_any_work(model, text, said):
    with pytest.raises(ArmError, match=said):
        make_session(model, parse_arm(text))


def test_a_model_without_adapters_still_has_base_arms(model):
    bare = dataclasses.replace(model, adapters={}, adapter_name=None)
    assert make_session(bare, PRESETS["base"]).ask("Who?", max_new_tokens=2)
    with pytest.raises(ArmError, match="Memory needs an adapter"):
        make_session(bare, PRESETS["memory"])


def test_retrieval_shows_as_many_passages_as_asked(model, history):
    session = start_session(model, parse_arm("base-rag:passages=1"), history)
    *_, last = session.reply("What does the dog called Rex like, the sea?", max_new_tokens=2)
    assert len(last.stats["passages"]) == 1
    session = start_session(model, PRESETS["base-rag"], history)
    *_, last = session.reply("What does the dog called Rex like, the sea?", max_new_tokens=2)
    assert len(last.stats["passages"]) > 1


@pytest.mark.parametrize("arm", ["base-full", "memory-full"])
def test_a_history_over_the_window_is_one_sentence(model, arm):
    small = dataclasses.replace(model, max_context=64)
    long = [{"role": "user", "content": "My dog is called Rex. " * 40}]
    with pytest.raises(SessionError, match="the model takes at most .* show less of the past"):
        start_session(small, PRESETS[arm], long)
    assert start_session(small, PRESETS["memory"], long).ask("Who?", max_new_tokens=2)


def test_start_session_puts_the_arm_under_its_control(model, history):
    plain, zero, other, off, frozen = (
        start_session(model, parse_arm(text), history, OTHER)
        for text in ("memory", "memory:control=zero", "memory:control=other", "memory:layers-off=1",
                     "memory:control=frozen")
    )  # fmt: skip
    told = plain.snapshots[-1].states
    assert told.any() and not zero.snapshots[-1].states.any()
    assert (other.snapshots[-1].states == start_session(model, PRESETS["memory"], OTHER).snapshots[-1].states).all()
    assert (off.snapshots[-1].states == told).all() and off.layers_off == (1,)
    assert (frozen.snapshots[-1].states == told).all() and frozen.writes is False
    with pytest.raises(ArmError, match="needs another history; give one"):
        start_session(model, Arm("x", "X", True, "none", control="other"), history)
