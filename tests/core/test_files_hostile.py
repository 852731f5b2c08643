"""Hostile and damaged adapter folders: nothing in them is run, fills the memory or touches the model."""

import json
import os
import pickle
import zipfile

import pytest
import torch

from deltamem.core import (
    AdapterError,
    ConfigError,
    adapter_hash,
    files,
    read_adapter,
    write_adapter,
)
from deltamem.core.files import PICKLE_FILE, TENSOR_FILE

from .golden import load_base, spoil


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_pickled_code_is_refused(folder, tmp_path, save):
    save({"model.layers.0.self_attn.beta_bias": Payload(tmp_path / "executed")}, folder / PICKLE_FILE)
    with pytest.raises(AdapterError, match="cannot read"):
        read_adapter(folder, load_base("qwen3_tsw"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", [PICKLE_FILE, TENSOR_FILE])
@pytest.mark.parametrize("content", [b"", b"\x08" + 7 * b"\0" + b"notjson!", 500 * b"x", b"PK\x03\x04" + 100 * b"\0"])
def test_damaged_files_are_refused(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(AdapterError, match="cannot read"):
        read_adapter(folder, load_base("qwen3_tsw"))


@pytest.mark.parametrize("keep", [0.3, 0.999])
def test_cut_files_are_refused(folder, keep):
    data = (folder / PICKLE_FILE).read_bytes()
    (folder / PICKLE_FILE).write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(AdapterError, match="cannot read"):
        read_adapter(folder, load_base("qwen3_tsw"))


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {7: torch.zeros(1)}, torch.zeros(3)])
def test_other_contents_are_refused(folder, value):
    torch.save(value, folder / PICKLE_FILE)
    with pytest.raises(AdapterError, match="not a table of named tensors"):
        read_adapter(folder, load_base("qwen3_tsw"))


def test_oversized_files_are_not_even_read(folder):
    with open(folder / PICKLE_FILE, "ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(AdapterError, match="1,073,741,824 bytes.*at most"):
        read_adapter(folder, load_base("qwen3_tsw"))


NAME = "model.layers.0.self_attn.memory_q_proj"


STRANGE = {
    "sparse": lambda t: t.to_sparse(),
    "compressed": lambda t: t.to_sparse_csr(),
    "without data": lambda t: t.to("meta"),
    "nested": lambda t: torch.nested.nested_tensor([t[0], t[1, :3]]),
    "spread out": lambda t: t[:1, :1].clone().expand(t.shape),
    "spread out far": lambda t: t[:1, :1].clone().expand(10**9, 10**9),
    "complex": lambda t: t.to(torch.complex64),
    "integer": lambda t: t.to(torch.int8),
    "8 bits": lambda t: t.to(torch.float8_e4m3fn),
    "powers of two": lambda t: t.abs().to(torch.float8_e8m0fnu),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.filterwarnings("ignore")
def test_strange_tensors_are_named(folder, kind):
    spoil(folder, lambda tensors: tensors.update({NAME: STRANGE[kind](tensors[NAME])}), "pt")
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder, load_base("qwen3_tsw"))
    # What plain tensors never need is not even unpickled; the rest is named.
    message = str(caught.value)
    assert f"configuration; not plain floating point: {NAME}. Use" in message or "more than tensors" in message


@pytest.mark.parametrize("name", ["data.pkl", "data.PKL"])
def test_a_pickle_cannot_ask_for_memory(folder, name):
    """`weights_only` lets a file of a hundred bytes ask for any number of bytes, and fills them."""
    asked = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x80\x00\x85R."  # 2 GiB
    forge_pickle(folder, asked, name)
    with pytest.raises(AdapterError, match="asks for '__builtin__ bytearray'"):
        read_adapter(folder, load_base("qwen3_tsw"))


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_wide_numbers_must_fit_float32(folder, kind):
    adapter = read_adapter(folder, load_base("qwen3_tsw"))
    spoil(folder, lambda tensors: tensors.update({NAME: tensors[NAME].double()}), kind)
    assert adapter_hash(read_adapter(folder, load_base("qwen3_tsw"))) == adapter_hash(adapter)
    write_adapter(adapter, folder)
    spoil(folder, lambda tensors: tensors.update({NAME: tensors[NAME].double() * 1e300}), kind)
    if kind == "pt":
        (folder / TENSOR_FILE).unlink()
    with pytest.raises(AdapterError, match=f"not finite: {NAME}"):
        read_adapter(folder, load_base("qwen3_tsw"))


def test_files_that_inflate_are_not_read(folder, monkeypatch):
    """64 MB of zeros in a file of a few hundred KB, which is small enough for an adapter."""
    spoil(folder, lambda tensors: tensors.update(surprise=torch.zeros(1 << 24)), "pt")
    with zipfile.ZipFile(folder / PICKLE_FILE) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / PICKLE_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    assert (folder / PICKLE_FILE).stat().st_size < 1 << 20
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(AdapterError, match="cannot read .*compressed"):
        read_adapter(folder, load_base("qwen3_tsw"))


PICKLES = {
    "nothing": b"\x80\x02.",
    "too short a tuple": b"\x80\x02\x86.",
    "a foreign key": b"\x80\x02K\x01Q.",
    "no arguments": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "a size of a number": b"\x80\x02ctorch\nSize\nK\x01\x85R.",
    "far too many bytes": b"\x80\x02c__builtin__\nbytearray\n\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x3f\x85R.",
    "code": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
}


def forge_pickle(folder, content, name="data.pkl"):
    with zipfile.ZipFile(folder / PICKLE_FILE, "w") as archive:
        for part, data in ((name, content), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{part}", data)


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES)
def test_forged_pickles_are_refused(folder, content):
    forge_pickle(folder, content)
    with pytest.raises(AdapterError, match="cannot read .*; it is damaged or not plain tensors$") as caught:
        read_adapter(folder, load_base("qwen3_tsw"))
    assert "weights_only" not in str(caught.value)


def test_a_refused_size_takes_no_memory(folder, monkeypatch):
    """A configuration may ask for gigabytes; only a file that really holds them makes room for them."""
    config = json.loads((folder / "delta_mem_config.json").read_text())
    (folder / "delta_mem_config.json").write_text(json.dumps(config | {"rank": 256, "num_state_heads": 64}))
    made = []
    empty = files.empty_adapter
    monkeypatch.setattr(files, "empty_adapter", lambda *args: made.append(args[2:]) or empty(*args))
    with pytest.raises(AdapterError, match="misshapen"):
        read_adapter(folder, load_base("qwen3_tsw"))
    assert made == [("meta",)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["delta_mem_config.json", PICKLE_FILE])
@pytest.mark.parametrize("pipe", [True, False])
def test_pipes_and_devices_are_no_files(folder, name, pipe):
    (folder / name).unlink()
    os.mkfifo(folder / name) if pipe else (folder / name).symlink_to("/dev/zero")
    with pytest.raises((AdapterError, ConfigError), match="is no file|neither"):
        read_adapter(folder, load_base("qwen3_tsw"))
