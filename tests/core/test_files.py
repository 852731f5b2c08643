"""Adapter folders: written as published, and nothing unfit gets in or touches the model."""

import json
import os
import pickle
import shutil
import zipfile

import pytest
import safetensors.torch
import torch

from deltamem.core import (
    AdapterError,
    ConfigError,
    StateError,
    adapter_hash,
    attach_delta_mem,
    files,
    load_delta_mem_adapter,
    read_adapter,
    resolve_adapter,
    save_delta_mem_adapter,
    write_adapter,
)
from deltamem.core.files import PICKLE_FILE, TENSOR_FILE

from .golden import CASES, adapter_folder, load_base
from .tiny import make_adapter, make_ids, make_model

FULL = {
    "delta_heads": ["q", "k", "v", "o"],
    "couple_lambda": False,
    "delta_o_rmsnorm": True,
    "trainable_delta_scale": True,
    "delta_scale_granularity": "head",
    "num_state_heads": 2,
    "rankwise_gates": False,
}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def folder(tmp_path):
    """A copy of a published adapter folder to spoil."""
    return shutil.copytree(adapter_folder("qwen3_tsw"), tmp_path / "adapter", copy_function=shutil.copyfile)


def spoil(folder, change, kind):
    """Rewrite the folder's tensors, as the published kind of file or as ours."""
    tensors = torch.load(folder / PICKLE_FILE, weights_only=True)
    change(tensors)
    if kind == "pt":
        torch.save(tensors, folder / PICKLE_FILE)
    else:
        (folder / PICKLE_FILE).unlink()
        safetensors.torch.save_file(tensors, folder / TENSOR_FILE)


@pytest.mark.parametrize("case", CASES)
def test_published_folders_round_trip(case, tmp_path):
    model = load_base(case)
    load_delta_mem_adapter(model, adapter_folder(case))
    save_delta_mem_adapter(model, tmp_path)
    published = torch.load(adapter_folder(case) / PICKLE_FILE, weights_only=True)
    written = torch.load(tmp_path / PICKLE_FILE, weights_only=True)
    assert list(written) == list(published) or written.keys() == published.keys()
    assert same(written, published)
    assert same(safetensors.torch.load_file(tmp_path / TENSOR_FILE), published)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "delta_mem_adapter.pt",
        "delta_mem_adapter.safetensors",
        "delta_mem_config.json",
    ]


@pytest.mark.parametrize("pt", [True, False])
def test_every_tensor_round_trips(tmp_path, pt):
    model = make_model()
    adapter = make_adapter(model, **FULL)
    write_adapter(adapter, tmp_path, pt=pt)
    assert (tmp_path / PICKLE_FILE).exists() == pt
    again = read_adapter(tmp_path, model)
    assert same(again.state_tensors(), adapter.state_tensors())
    assert again.config == adapter.config
    assert adapter_hash(again) == adapter_hash(adapter)
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_half_precision_files(tmp_path):
    model = make_model()
    adapter = make_adapter(model)
    write_adapter(adapter, tmp_path, dtype=torch.float16, pt=False)
    again = read_adapter(tmp_path, model)
    for name, tensor in adapter.state_tensors().items():
        assert torch.equal(again.state_tensors()[name], tensor.half().float())
    assert adapter_hash(again) != adapter_hash(adapter)


def test_loaded_adapter_is_trainable():
    model = load_base("qwen3_tsw")
    names = load_delta_mem_adapter(model, adapter_folder("qwen3_tsw"))
    assert names == [f"model.layers.{i}.self_attn" for i in range(4)]
    assert all(parameter.requires_grad for parameter in model.model.layers[0].self_attn.delta_mem.parameters())


def test_safetensors_file_is_preferred(folder):
    tensors = torch.load(folder / PICKLE_FILE, weights_only=True)
    tensors["model.layers.0.self_attn.beta_bias"] += 1
    safetensors.torch.save_file(tensors, folder / TENSOR_FILE)
    adapter = read_adapter(folder, load_base("qwen3_tsw"))
    assert same(adapter.state_tensors(), tensors)


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_all_problems_in_one_error(folder, kind):
    def change(tensors):
        name = "model.layers.{}.self_attn.{}".format
        del tensors[name(0, "beta_proj")], tensors[name(1, "delta_k_proj")]
        tensors["surprise"] = torch.zeros(2)
        tensors[name(0, "memory_q_proj")] = torch.zeros(8, 47)
        tensors[name(2, "beta_bias")] = torch.zeros(8, dtype=torch.int64)
        tensors[name(3, "beta_bias")][5] = float("nan")
        tensors[name(3, "delta_o_proj")][0, 0] = float("inf")

    spoil(folder, change, kind)
    model = load_base("qwen3_tsw")
    with torch.no_grad():
        before = model(make_ids()).logits
        with pytest.raises(AdapterError) as caught:
            load_delta_mem_adapter(model, folder)
        assert torch.equal(model(make_ids()).logits, before)
    assert not hasattr(model.model, "_delta_mem")
    message = str(caught.value)
    for part in (
        "missing: model.layers.0.self_attn.beta_proj, model.layers.1.self_attn.delta_k_proj",
        "not expected: surprise",
        "model.layers.0.self_attn.memory_q_proj [8, 47] instead of [8, 48]",
        "not plain floating point: model.layers.2.self_attn.beta_bias",
        "not finite: model.layers.3.self_attn.delta_o_proj, model.layers.3.self_attn.beta_bias",
    ):
        assert part in message


def test_wrong_backbone_is_one_short_error():
    other = make_model(layers=40)
    with pytest.raises(AdapterError, match=r"missing: .* more \(.* in all\).*trained for this backbone") as caught:
        read_adapter(adapter_folder("qwen3_tsw"), other)
    assert len(str(caught.value)) < 3000


def test_refused_adapter_keeps_the_attached_one(folder):
    model = load_base("qwen3_tsw")
    attach_delta_mem(model, make_adapter(model))
    with torch.no_grad():
        model(make_ids())
    binding = model.model._delta_mem.default
    spoil(folder, lambda tensors: tensors.popitem(), "pt")
    with pytest.raises(AdapterError, match="missing"):
        load_delta_mem_adapter(model, folder)
    assert model.model._delta_mem.default is binding and binding.states


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


def test_a_pickle_cannot_ask_for_memory(folder):
    """`weights_only` lets a file of a hundred bytes ask for any number of bytes, and fills them."""
    asked = b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x00\x00\x80\x00\x85R."  # 2 GiB
    forge_pickle(folder, asked)
    with pytest.raises(AdapterError, match="asks for '__builtin__ bytearray'"):
        read_adapter(folder, load_base("qwen3_tsw"))


@pytest.mark.parametrize("spoilt", [TENSOR_FILE, "delta_mem_config.json"])
def test_our_own_folders_carry_a_checksum(tmp_path, spoilt):
    model = make_model()
    write_adapter(make_adapter(model), tmp_path)
    path = tmp_path / spoilt
    if spoilt == TENSOR_FILE:
        data = bytearray(path.read_bytes())
        data[-2] ^= 1  # the last number, a little
        path.write_bytes(data)
    else:
        path.write_text(path.read_text().replace('"alpha": 16.0', '"alpha": 17.0'))
    with pytest.raises(AdapterError, match="does not match its checksum.*use another copy"):
        read_adapter(tmp_path, model)


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


def test_a_single_number_needs_no_dimension(tmp_path):
    model = make_model()
    adapter = make_adapter(model, trainable_delta_scale=True)
    write_adapter(adapter, tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / TENSOR_FILE)
    tensors = {name: t.squeeze() if name.endswith("delta_scale_raw") else t for name, t in tensors.items()}
    safetensors.torch.save_file(tensors, tmp_path / TENSOR_FILE)
    assert adapter_hash(read_adapter(tmp_path, model)) == adapter_hash(adapter)


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


def forge_pickle(folder, content):
    with zipfile.ZipFile(folder / PICKLE_FILE, "w") as archive:
        for name, data in (("data.pkl", content), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", data)


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


@pytest.mark.parametrize("name", ["~no-such-user/adapter", "~a\0b", "a" * 5000, "a\0b"])
def test_odd_names_are_no_folders(name):
    with pytest.raises(AdapterError, match="give a folder"):
        resolve_adapter(name)


def test_linked_folders_and_files_are_followed(folder, tmp_path):
    """As in the hub's cache."""
    (folder / PICKLE_FILE).rename(tmp_path / "blob")
    (folder / PICKLE_FILE).symlink_to(tmp_path / "blob")
    (tmp_path / "link").symlink_to(folder)
    read_adapter(tmp_path / "link", load_base("qwen3_tsw"))


def test_folders_without_an_adapter(folder, tmp_path):
    model = load_base("qwen3_tsw")
    (folder / PICKLE_FILE).unlink()
    with pytest.raises(AdapterError, match="neither delta_mem_adapter.safetensors nor delta_mem_adapter.pt"):
        read_adapter(folder, model)
    with pytest.raises(ConfigError, match="delta_mem_config.json"):
        read_adapter(tmp_path, model)
    with pytest.raises(AdapterError, match="give a folder"):
        read_adapter(tmp_path / "nowhere", model)


def test_configuration_of_another_backbone(folder):
    config = json.loads((folder / "delta_mem_config.json").read_text())
    (folder / "delta_mem_config.json").write_text(json.dumps(config | {"target_layers": [30]}))
    with pytest.raises(AdapterError, match=r"target_layers \[30\]"):
        read_adapter(folder, load_base("qwen3_tsw"))


def test_hub_ids(monkeypatch, folder):
    asked = []

    def download(name, **kwargs):
        asked.append((name, kwargs["allow_patterns"]))
        if name == "owner/gone":
            raise OSError("no network\nsecond line")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve_adapter("owner/name") == folder
    read_adapter("owner/name", load_base("qwen3_tsw"))
    assert asked[0] == ("owner/name", ["delta_mem_config.json", PICKLE_FILE, TENSOR_FILE])
    with pytest.raises(AdapterError, match="cannot fetch adapter owner/gone .*no network\\);") as caught:
        resolve_adapter("owner/gone")
    assert "second line" not in str(caught.value)


def test_saving_needs_an_attached_adapter(tmp_path):
    with pytest.raises(StateError, match="attach_delta_mem"):
        save_delta_mem_adapter(make_model(), tmp_path)


def test_hash_tells_adapters_apart():
    model = make_model()
    first = make_adapter(model)
    assert adapter_hash(first) == adapter_hash(make_adapter(model))
    assert adapter_hash(first) != adapter_hash(make_adapter(model, seed=2))
    assert adapter_hash(first) != adapter_hash(make_adapter(model, alpha=8.0))
