"""Adapter folders: written as published and read back; every misfit is named."""

import json
import os

import pytest
import safetensors.torch
import torch

from deltamem.core import (
    AdapterError,
    ConfigError,
    StateError,
    adapter_hash,
    attach_delta_mem,
    load_delta_mem_adapter,
    read_adapter,
    resolve_adapter,
    save_delta_mem_adapter,
    write_adapter,
)
from deltamem.core.atomic import write_atomically
from deltamem.core.files import PICKLE_FILE, TENSOR_FILE

from .golden import CASES, adapter_folder, load_base, spoil
from .tiny import make_adapter, make_ids, make_model, same

FULL = {
    "delta_heads": ["q", "k", "v", "o"],
    "couple_lambda": False,
    "delta_o_rmsnorm": True,
    "trainable_delta_scale": True,
    "delta_scale_granularity": "head",
    "num_state_heads": 2,
    "rankwise_gates": False,
}


@pytest.mark.skipif(os.name != "posix", reason="modes of files are a matter of POSIX")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_says_who_may_read(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode and len(list(tmp_path.iterdir())) == 1


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


def test_a_single_number_needs_no_dimension(tmp_path):
    model = make_model()
    adapter = make_adapter(model, trainable_delta_scale=True)
    write_adapter(adapter, tmp_path)
    tensors = safetensors.torch.load_file(tmp_path / TENSOR_FILE)
    tensors = {name: t.squeeze() if name.endswith("delta_scale_raw") else t for name, t in tensors.items()}
    safetensors.torch.save_file(tensors, tmp_path / TENSOR_FILE)
    assert adapter_hash(read_adapter(tmp_path, model)) == adapter_hash(adapter)


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


def test_hub_ids(monkeypatch, folder, hub_home):
    asked, folder = [], folder.rename(folder.parent / ("0" * 40))  # as in the hub's cache

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
