"""Session files: what comes back, and that nothing damaged or foreign gets in."""

import dataclasses
import os
import random

import pytest
import safetensors.torch
import torch

from deltamem.core.files import read_adapter
from deltamem.runtime import Session, session_file
from deltamem.runtime.errors import SessionFileError
from tests.runtime.conftest import same_states
from tests.runtime.sessions import content_of, forge, put, values

HISTORY = [
    {"role": "system", "content": 'Be kind. 你好 \u2028 \\ud800 "quoted"'},
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
]


def talk(model, **options):
    session = Session(model, **options)
    session.preload(HISTORY)
    for question in ("Who is Rex?", "And the sea? <|im_end|>"):
        session.ask(question, max_new_tokens=4, temperature=1.0)
    return session


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """Bytes of a small file: one turn, no history."""
    session = Session(model)
    session.ask("Who?", max_new_tokens=2)
    path = tmp_path_factory.mktemp("saved") / "session.safetensors"
    session.save(path)
    return path.read_bytes()


def load(model, path, data):
    path.write_bytes(data)
    return Session.load(model, path)


@pytest.mark.parametrize("label", [None, "TSW", "MSW", "SSW"])
@pytest.mark.parametrize("context", ["none", "recent", "rag", "full"])
def test_a_loaded_session_goes_on_like_the_saved_one(model, tmp_path, label, context):
    options = {"memory": label is not None, "adapter": label, "context": context}
    session = talk(model, **options, system="Be kind.", recent_turns=1, strength=0.75)
    path = tmp_path / "session.safetensors"
    session.save(path)
    loaded = Session.load(model, path)
    expected = session.stats() | {"kv_bytes": 0}
    assert loaded.stats() == expected if label else loaded.stats() | {"adapter": None} == expected
    assert loaded.messages == session.messages and loaded.history == session.history
    assert same_states(loaded, session)
    for a, b in zip(loaded.snapshots, session.snapshots, strict=True):
        assert (a.label, a.layers, a.written_tokens) == (b.label, b.layers, b.written_tokens)
        assert (a.beta == b.beta).all() and (a.lam == b.lam).all()
    question = "How are you?"
    assert loaded.branch().ask(question, max_new_tokens=8) == session.ask(question, max_new_tokens=8)
    session.undo()
    for _ in range(2):
        assert loaded.undo() == session.undo() and same_states(loaded, session)
        assert loaded.branch().ask(question, max_new_tokens=5) == session.branch().ask(question, max_new_tokens=5)
    assert loaded.undo() == HISTORY


def test_an_empty_session_can_be_saved(model, tmp_path):
    for memory in (True, False):
        session = Session(model, memory=memory)
        session.save(tmp_path / "empty.safetensors")
        loaded = Session.load(model, tmp_path / "empty.safetensors")
        assert loaded.stats() == session.stats() and loaded.ask("Who?", max_new_tokens=3)


def test_the_adapter_is_found_by_its_weights(model, adapter_folders, tmp_path):
    session = talk(model, adapter="MSW")
    session.save(tmp_path / "s.safetensors")
    again = read_adapter(adapter_folders["MSW"], model.backbone)
    renamed = dataclasses.replace(model, adapters={"a": model.adapters["TSW"], "b": again}, adapter_name="a")
    loaded = Session.load(renamed, tmp_path / "s.safetensors")
    assert loaded.adapter == "b" and same_states(loaded, session)
    without = dataclasses.replace(model, adapters={"a": model.adapters["TSW"]}, adapter_name="a")
    with pytest.raises(SessionFileError, match=r"needs the adapter MSW \(.*; load the model with that adapter"):
        Session.load(without, tmp_path / "s.safetensors")


def test_another_backbone_is_named(model, saved, tmp_path):
    other = dataclasses.replace(model, fingerprint="0" * 64, name="Another")
    with pytest.raises(SessionFileError, match=r"belongs to the backbone .* loaded one is Another .*load that"):
        load(other, tmp_path / "s.safetensors", saved)


def test_a_failed_save_leaves_the_old_file(model, saved, tmp_path, monkeypatch):
    path = tmp_path / "s.safetensors"
    path.write_bytes(saved)
    session = talk(model)

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(SessionFileError, match="No space left on device; choose another place"):
        session.save(path)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"] and path.read_bytes() == saved
    with pytest.raises(SessionFileError, match="No such file"):
        session.save(tmp_path / "nowhere" / "s.safetensors")
    with pytest.raises(SessionFileError, match="null byte"):
        session.save("a\0b")
    monkeypatch.setattr(session_file, "MAX_BYTES", 1000)
    with pytest.raises(SessionFileError, match="holds at most 1,000"):
        session.save(path)
    with pytest.raises(SessionFileError, match="has at most 1,000"):
        Session.load(model, path)
    assert path.read_bytes() == saved


def test_what_is_no_file_is_one_sentence(model, tmp_path):
    for path in (tmp_path, tmp_path / "absent", "a\0b"):
        with pytest.raises(SessionFileError, match="cannot be loaded: .*; give a file"):
            Session.load(model, path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "zero").symlink_to("/dev/zero")
        for path in (tmp_path / "pipe", tmp_path / "zero"):
            with pytest.raises(SessionFileError, match="device or a pipe; give a file"):
                Session.load(model, path)
    for data in (b"", b"{}", b"PK\x03\x04" * 9, safetensors.torch.save({"a": torch.zeros(3)})):
        with pytest.raises(SessionFileError, match="damaged or no session file"):
            load(model, tmp_path / "s.safetensors", data)


def test_every_truncation_is_refused(model, saved, tmp_path):
    path = tmp_path / "s.safetensors"
    for size in range(len(saved)):
        with pytest.raises(SessionFileError):
            load(model, path, saved[:size])
    with pytest.raises(SessionFileError):
        load(model, path, saved + b"\0")


def test_random_damage_is_refused(model, saved, tmp_path):
    path, dice = tmp_path / "s.safetensors", random.Random(0)
    for _ in range(3000):
        data = bytearray(saved)
        for _ in range(dice.choice([1, 1, 2, 8])):
            where = dice.randrange(len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[where] ^= 1 << dice.randrange(8)
            elif kind == 1:
                data[where] = dice.choice(b'{}[]",:0 \\\x00\xff')
            elif kind == 2:
                del data[where : where + dice.randrange(1, 20)]
            else:
                data[where:where] = dice.randbytes(dice.randrange(1, 9))
        if data == saved:
            continue
        with pytest.raises(SessionFileError):
            load(model, path, bytes(data))


def test_a_forgery_without_changes_loads(model, saved, tmp_path):
    assert load(model, tmp_path / "s.safetensors", forge(saved)).messages[0]["content"] == "Who?"


def test_every_value_of_another_type_is_refused(model, saved, tmp_path):
    content, tried = content_of(saved), 0
    for path in values(content):
        old = content
        for key in path:
            old = old[key]
        free = isinstance(old, str) and path[-1] != "kind" or path in (("model", "commit"), ("settings", "system"))
        for value in (None, True, -7, 1.5, 10**400, "\ud800", [], {}, [[]], {"a": 1}):
            if type(value) is type(old) or free and (value is None or isinstance(value, str)):
                continue
            if isinstance(old, float) and type(value) in (int, float) and value != 10**400:
                continue
            with pytest.raises(SessionFileError):
                load(model, tmp_path / "s.safetensors", forge(saved, put(*path, value=value)))
            tried += 1
    assert tried > 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("version", value=3), "version 3 and this release reads up to 2; update"),
        (put("version", value=0), "version 0, which never was"),
        (put("extra", value=0), "should not have: extra"),
        (put("settings", "context", value="all"), "context is 'all'"),
        (put("settings", "strength", value=-1), "strength is -1"),
        (put("settings", "recent_turns", value=0), "recent_turns is 0"),
        (put("settings", "system", value=" "), "system message is empty"),
        (put("settings", "memory", value=False), "memory without an adapter"),
        (put("adapter", value=None), "memory without an adapter"),
        (put("adapter", "hash", value="ff"), "needs the adapter"),
        (put("layers", 0, value="else"), "layers are not those"),
        (put("layers", value=[]), "layers are not those"),
        (put("steps", value=[]), "its tensors are"),
        (put("steps", 0, "kind", value="thought"), "neither history nor a turn"),
        (put("steps", 0, "kind", value="history"), "history with an answer"),
        (put("steps", 0, "written_tokens", value=-1), "has written -1"),
        (put("steps", 0, "reply_ids", 0, value=10**9), "token 1000000000"),
        (put("steps", 0, "reply_ids", 0, value=-1), "token -1"),
        (put("steps", 0, "messages", 0, "role", value="assistant"), "neither history nor a turn"),
        (put("steps", 0, "messages", 0, "content", value=" "), "is empty"),
        (put("steps", 0, "stats", "stop", value="bored"), "ended by 'bored'"),
        (put("steps", 0, "stats", "passages", value=[1]), "not a list of texts"),
    ],
)
def test_forged_values_are_named(model, saved, tmp_path, change, words):
    with pytest.raises(SessionFileError, match=words) as raised:
        load(model, tmp_path / "s.safetensors", forge(saved, change))
    assert "\n" not in str(raised.value) and "s.safetensors cannot be loaded: " in str(raised.value)


def test_answers_cannot_hold_stop_tokens(model, saved, tmp_path):
    stop = next(iter(model.chat.stop_ids))
    with pytest.raises(SessionFileError, match=f"token {stop}, which no answer holds"):
        load(model, tmp_path / "s.safetensors", forge(saved, put("steps", 0, "reply_ids", 0, value=stop)))


def test_text_that_is_no_json_is_refused(model, saved, tmp_path):
    for text in ("[" * 100_000, "[]", "7", "NaN", '{"version": NaN}', "{", '{"version": 1}', "9" * 5000):
        with pytest.raises(SessionFileError):
            load(model, tmp_path / "s.safetensors", forge(saved, text=text))


def test_values_are_counted_however_they_are_spelled(model, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(session_file, "MAX_VALUES", 1000)
    data = forge(saved, put("layers", value=[[]] * 1000))
    size = int.from_bytes(data[:8], "little")
    hidden = data[8 : 8 + size].replace(b"[], ", rb"\u005b]\u002c ")
    with pytest.raises(SessionFileError, match="lists more than the 1,000 values"):
        load(model, tmp_path / "s.safetensors", len(hidden).to_bytes(8, "little") + hidden + data[8 + size :])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update(states=t["states"][:, :3].contiguous()), "its tensors are"),
        (lambda t: t.update(more=torch.zeros(1)), "its tensors are"),
        (lambda t: t.pop("lam"), "its tensors are"),
        (lambda t: t.update(states=t["states"].double()), "damaged or no session file"),
        (lambda t: t["states"].fill_(float("nan")), "no numbers or out of range"),
        (lambda t: t["states"].fill_(float("inf")), "no numbers or out of range"),
        (lambda t: t["beta"].fill_(1.5), "no numbers or out of range"),
    ],
)
def test_forged_tensors_are_refused(model, saved, tmp_path, change, words):
    with pytest.raises(SessionFileError, match=words):
        load(model, tmp_path / "s.safetensors", forge(saved, tensors=change))


def test_a_full_context_that_does_not_fit_is_refused(model, tmp_path):
    session = talk(model, context="full")
    session.save(tmp_path / "s.safetensors")
    with pytest.raises(SessionFileError, match="shows .* tokens and the model can see 50; load"):
        Session.load(dataclasses.replace(model, max_context=50), tmp_path / "s.safetensors")
