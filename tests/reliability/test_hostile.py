"""Files made to take memory, time or control: refused before any of it is given."""

import json
import pickle
import shutil
import struct
import tracemalloc
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamem.core import AdapterError, ConfigError, HFDeltaMemConfig, read_adapter
from deltamem.core.config import FIXED
from deltamem.core.files import PICKLE_FILE, TENSOR_FILE, is_plain
from deltamem.quoting import UNSEEN
from deltamem.runtime import Session
from deltamem.runtime.errors import SessionFileError
from tests.reliability.subjects import make_session
from tests.runtime.test_session_file import forge, put, values
from ui.bundle import load_page
from ui.record import BundleError, content
from ui.workspace import Workspace

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture
def folder(place, model, tmp_path):
    """A published kind of adapter folder to spoil."""
    shutil.copytree(place / "adapter", tmp_path / "adapter")
    (tmp_path / "adapter" / TENSOR_FILE).unlink()
    return tmp_path / "adapter"


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "s.safetensors"
    make_session(model).save(path)
    return path.read_bytes()


def peak_of(work):
    """Most bytes that Python held while work() ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def one_sentence(error):
    text = str(error)
    assert not UNSEEN.search(text) and len(text) < 1500, text
    return True


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


GREEDY = {
    "bytes": b"c__builtin__\nbytearray\n" + number(3 << 30) + b"\x85R",
    "a tensor": b"ctorch\nTensor\n" + number(1 << 40) + b"\x85\x81",
    "a storage": b"ctorch.storage\nUntypedStorage\n" + number(1 << 40) + b"\x85R",
    "a sparse tensor": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "a quantized tensor": b"ctorch._utils\n_rebuild_qtensor\n)R",
    "a tensor of any kind": b"ctorch._tensor\n_rebuild_from_type_v2\n)R",
    "code": b"cos\nsystem\nX\x04\x00\x00\x00true\x85R",
    "code, named on the stack": b"\x8c\x02os\x8c\x06system\x93X\x04\x00\x00\x00true\x85R",
    "an object": b"(cos\nsystem\no",
    "an old object": b"(ios\nsystem\n",
    "an extension": b"\x82\x01",
}


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY)
def test_a_pickle_that_asks_for_more_is_not_unpickled(folder, model, monkeypatch, content):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was given to PyTorch"))
    with zipfile.ZipFile(folder / PICKLE_FILE, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
    with pytest.raises(AdapterError, match="cannot read .* than tensors of numbers; it is damaged") as caught:
        read_adapter(folder, model.backbone)
    assert one_sentence(caught.value)


def test_no_pickle_is_ever_loaded_but_weights_only(folder, model, monkeypatch, tmp_path):
    """Neither sessions nor pages nor our own adapter files go through pickle; `.pt` only with weights_only."""
    asked = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: asked.append(options) or load(*args, **options))
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("a pickle was loaded"))
    read_adapter(folder, model.backbone)
    assert [options["weights_only"] for options in asked] == [True]
    make_session(model).save(tmp_path / "s.safetensors")
    Session.load(model, tmp_path / "s.safetensors")
    (tmp_path / "pickled.safetensors").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SessionFileError):
        Session.load(model, tmp_path / "pickled.safetensors")
    assert len(asked) == 1


def test_parts_that_overlap_are_not_read(folder, model, monkeypatch):
    """One megabyte that a thousand names share, in a file that is small enough for an adapter."""
    with zipfile.ZipFile(folder / PICKLE_FILE, "w") as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000)
        archive.filelist *= 1000
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(AdapterError, match="claims more than it holds"):
        read_adapter(folder, model.backbone)


def test_a_compressed_file_is_not_read(folder, model):
    """Even one that says how much it holds: no published file is compressed."""
    with zipfile.ZipFile(folder / PICKLE_FILE) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / PICKLE_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(AdapterError, match="it is compressed, or claims more than it holds"):
        read_adapter(folder, model.backbone)


def test_only_dense_numbers_in_memory_of_their_own_are_taken():
    """Should a file's reader give anything else all the same."""
    assert is_plain(torch.ones(3, 2)) and is_plain(torch.ones(3, 2).T)
    for trick in (
        torch.eye(3).to_sparse(),
        torch.eye(3).to_sparse_csr(),
        torch.ones(1).expand(1 << 40),
        torch.ones(3, device="meta"),
        torch.ones(3, dtype=torch.int64),
    ):
        assert not is_plain(trick)


def test_a_storage_cannot_claim_more_than_its_part(folder, model):
    tensors = torch.load(folder / PICKLE_FILE, weights_only=True)
    torch.save(tensors, folder / PICKLE_FILE)
    with zipfile.ZipFile(folder / PICKLE_FILE) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in parts if name.endswith("data/0"))
    for claimed in (parts[name][:4], parts[name] + b"\0" * 4, b""):
        with zipfile.ZipFile(folder / PICKLE_FILE, "w") as archive:
            for one, data in parts.items():
                archive.writestr(one, claimed if one == name else data)
        if len(claimed) > len(parts[name]):
            continue
        with pytest.raises(AdapterError):
            read_adapter(folder, model.backbone)


@pytest.mark.parametrize("inside", [False, True])
def test_lists_in_a_session_file_take_no_memory(model, saved, tmp_path, inside):
    """As Python objects, twelve megabytes of `[],` take three hundred."""
    many = "[" + "[]," * 4_000_000 + "[]]"
    if inside:
        data = forge(saved, text=f'{{"version": {many}}}')
    else:
        header = json.dumps({"__metadata__": {"format": "deltamem-session"}})[:-1].encode() + b', "a": %b}'
        header %= many.encode()
        data = struct.pack("<Q", len(header)) + header
    (tmp_path / "s.safetensors").write_bytes(data)

    def load():
        with pytest.raises(SessionFileError, match="lists more than the 4,000,000 values"):
            Session.load(model, tmp_path / "s.safetensors")

    assert peak_of(load) < 3 * len(data)


def test_a_page_that_inflates_is_not_read(model, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "page.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        with bundle.open("page.json", "w") as part:
            for _ in range(100):
                part.write(b" " * 1_000_000)
    assert (tmp_path / "page.zip").stat().st_size < 200_000
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was read"))
    with pytest.raises(BundleError, match="compressed"):
        load_page(Workspace(model), tmp_path / "page.zip")


@pytest.mark.parametrize("name", ["page.json", "column-2.safetensors"])
def test_a_page_that_claims_too_much_is_not_read(model, tmp_path, name):
    with zipfile.ZipFile(tmp_path / "page.zip", "w") as bundle:
        bundle.writestr("page.json", json.dumps(content(Workspace(model))))
        session = Workspace(model).arms["base"].session
        session.save(tmp_path / "base.safetensors")
        bundle.write(tmp_path / "base.safetensors", "column-1.safetensors")
        if name not in bundle.namelist():
            bundle.writestr(name, b"")
        bundle.getinfo(name).file_size = 2**31
    with pytest.raises((BundleError, SessionFileError)):
        load_page(Workspace(model), tmp_path / "page.zip")


@pytest.mark.parametrize("data", [b"PK\x05\x06" + b"\1" * 18, b"x" * 99 + b"PK\x05\x06" + b"\0" * 6 + b"\xff" * 12])
def test_what_only_ends_like_a_zip_is_one_sentence(model, tmp_path, data):
    (tmp_path / "page.zip").write_bytes(data)
    with pytest.raises((BundleError, SessionFileError)) as caught:
        load_page(Workspace(model), tmp_path / "page.zip")
    assert one_sentence(caught.value)


LONG = "\u202eevil\n\x1b[31m" + "x" * 100_000


@pytest.mark.parametrize(
    "change",
    [
        put("model", value={"name": LONG, "source": "", "commit": None, "fingerprint": LONG}),
        put("adapter", value={"label": LONG, "hash": LONG}),
        put("settings", "context", value=LONG),
        put("settings", "layers_off", value=[[LONG]]),
        put("settings", "layers_off", value=[{"a": 1}]),
        put("steps", 0, "messages", 0, "role", value=LONG),
        put("steps", 1, "stats", "stop", value=LONG),
        put("steps", 0, "kind", value=LONG),
        put(LONG, value=1),
        put("version", value=10**4000),
    ],
)
def test_what_a_file_says_is_quoted_in_short(model, saved, tmp_path, change):
    """No text of a file can fill the page, turn it around or begin a second line."""
    path = tmp_path / f"{LONG[:20]}.safetensors".replace("\x1b", "")
    path.write_bytes(forge(saved, change))
    with pytest.raises(SessionFileError) as caught:
        Session.load(model, path)
    assert one_sentence(caught.value)


def test_names_of_tensors_are_quoted_in_short(folder, model):
    safetensors.torch.save_file({LONG: torch.zeros(1), "b\nc": torch.zeros(1)}, folder / TENSOR_FILE)
    with pytest.raises(AdapterError, match="not expected") as caught:
        read_adapter(folder, model.backbone)
    assert one_sentence(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
@given(data=st.data())
def test_any_value_anywhere_in_a_session_file(model, saved, tmp_path, data):
    """With a checksum that fits: a sentence, or a session that can be saved and goes on."""
    size = struct.unpack("<Q", saved[:8])[0]
    content = json.loads(json.loads(saved[8 : 8 + size])["__metadata__"]["session"])
    path = data.draw(st.sampled_from(sorted(values(content), key=str)))
    value = data.draw(JSON | st.sampled_from(["", "full", "rag", -1, 0, 2**70, [], {}]))
    (tmp_path / "s.safetensors").write_bytes(forge(saved, put(*path, value=value)))
    try:
        session = Session.load(model, tmp_path / "s.safetensors")
    except SessionFileError as error:
        assert one_sentence(error)
        return
    session.ask("Who?", max_new_tokens=1)
    session.save(tmp_path / "again.safetensors")
    assert Session.load(model, tmp_path / "again.safetensors").messages == session.messages


KEYS = st.sampled_from([*HFDeltaMemConfig().to_dict(), *list(FIXED)[:5], "unknown"])


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS | st.text(max_size=10), JSON, max_size=6) | JSON)
def test_any_configuration_is_honoured_or_named(values):
    try:
        config = HFDeltaMemConfig.from_dict(values)
    except ConfigError as error:
        assert len(str(error)) < 3000
        return
    assert HFDeltaMemConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
