"""Loading backbones: what a loaded model offers, and one sentence for everything that can be wrong."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from deltamem.core.errors import AdapterError, ConfigError, DeltaMemError
from deltamem.runtime import load_model
from deltamem.runtime.errors import ModelError
from deltamem.runtime.places import add_adapters, find_adapters
from deltamem.runtime.presets import PRESETS, Preset
from deltamem.runtime.weights import check_gpu_memory, count_weights


def silent(stage, done, total=None):
    pass


def load(name, **options):
    return load_model(name, device="cpu", progress=silent, **options)


@pytest.fixture
def broken(tiny_model_folder, tmp_path):
    """A copy of the tiny model's folder, to be damaged."""
    return shutil.copytree(tiny_model_folder, tmp_path / "copy")


def test_what_a_model_offers(tiny_model_folder):
    model = load(str(tiny_model_folder))
    assert (model.device, model.dtype, model.attention) == (torch.device("cpu"), torch.float32, "sdpa")
    assert (model.source, model.commit, model.max_context) == (str(tiny_model_folder), None, 4096)
    assert model.adapters == {} and model.adapter is None and model.adapter_name is None
    assert not model.backbone.training
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert model.chat.stop_ids == {model.tokenizer.eos_token_id}
    assert len(model.fingerprint) == 64


def test_fingerprint_is_the_same_in_every_dtype_and_differs_with_one_weight(tiny_model_folder, broken):
    first = load(tiny_model_folder).fingerprint
    assert load(tiny_model_folder, dtype="bfloat16").fingerprint == first
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"] += 1
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert load(broken).fingerprint != first


@pytest.mark.gpu
def test_on_a_gpu(tiny_model_folder, tiny_adapter_folder):
    model = load_model(tiny_model_folder, adapter=tiny_adapter_folder, progress=silent)
    assert (model.device, model.dtype) == (torch.device("cuda", 0), torch.bfloat16)
    assert {p.device for p in model.adapter.parameters()} == {model.device}
    assert {p.dtype for p in model.adapter.parameters()} == {torch.float32}
    assert model.fingerprint == load(tiny_model_folder).fingerprint
    with pytest.raises(ModelError, match="use device cpu"):
        load_model(tiny_model_folder, device="cuda:99", progress=silent)


def test_adapters(tiny_model_folder, tiny_adapter_folder):
    model = load(tiny_model_folder, adapter=tiny_adapter_folder)
    assert list(model.adapters) == ["MSW"] and model.adapter_name == "MSW"
    assert model.adapter is model.adapters["MSW"]
    assert not any(p.requires_grad for p in model.adapter.parameters())
    model.add_adapter("second", tiny_adapter_folder)
    assert list(model.adapters) == ["MSW", "second"] and model.adapter_name == "MSW"
    with pytest.raises(DeltaMemError):
        model.add_adapter("third", tiny_model_folder)
    assert "third" not in model.adapters


def test_no_adapter_takes_the_place_of_another(tiny_model_folder, adapter_folders, tmp_path, monkeypatch):
    bundled = Preset("tiny", None, {"TSW": adapter_folders["TSW"]})
    monkeypatch.setitem(PRESETS, "tiny", bundled)
    own = [str(shutil.copytree(adapter_folders["TSW"], tmp_path / name / "adapter")) for name in "abc"]
    model = load_model(tiny_model_folder, adapter=None, device="cpu")
    labels = add_adapters(model, "tiny", [*own, "tsw"])
    assert len(model.adapters) == 4 and labels == list(model.adapters)
    assert (
        labels[0] == "TSW-adapter"
        and labels[3] == "TSW"
        and model.adapter_places["TSW"].folder == bundled.adapters["TSW"]
    )


def test_reading_adapters_leaves_the_backbone_alone(tiny_model_folder, tiny_adapter_folder):
    ids = torch.tensor([[5, 9, 30, 7]])
    with torch.inference_mode():
        plain = load(tiny_model_folder).backbone(ids).logits
        assert torch.equal(load(tiny_model_folder, adapter=tiny_adapter_folder).backbone(ids).logits, plain)


def test_adapter_of_another_backbone(tiny_model_folder, tiny_adapter_folder, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(tiny_model_folder, hidden_size=32, intermediate_size=32, head_dim=8)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterError):
        load(tmp_path / "other", adapter=tiny_adapter_folder)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"name": "no-such-preset"}, "demo, qwen3-4b"),
        ({"name": "/no/such/folder"}, "There is no model"),
        ({"name": ""}, "There is no model"),  # not the folder that the program was started in
        ({"name": "~no-such-user/model"}, "There is no model"),
        ({"name": "~a\0b"}, "There is no model"),
        ({"name": "a" * 400}, "There is no model"),
        ({"name": __file__}, "is a file"),
        ({"dtype": "int3"}, "float32, bfloat16, float16"),
        ({"device": "toaster"}, "cuda:<number> or cpu"),
        ({"device": "cuda:77"}, "use device cpu"),
        ({"attention": "magic"}, "sdpa, flash_attention_2, eager"),
        ({"attention": "flash_attention_2"}, "flash_attention_2"),
        ({"adapter": "/no/such/adapter"}, "There is no adapter"),
        ({"adapter": ""}, "There is no adapter"),
        ({"adapter": "~no-such-user/adapter"}, "There is no adapter"),
    ],
)
def test_wrong_options(tiny_model_folder, options, words):
    with pytest.raises(ModelError) as caught:
        load_model(**{"name": tiny_model_folder, "device": "cpu", "progress": silent} | options)
    assert words in str(caught.value)
    assert_one_sentence(caught.value)


def test_no_network(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for options in ({"name": "somebody/some-model"}, {"name": "qwen3-4b"}):
        with pytest.raises(ModelError, match="the hub cannot be reached") as caught:
            load(**options)
        assert_one_sentence(caught.value)


def test_hub_errors_become_sentences(monkeypatch):
    import httpx
    import huggingface_hub
    from huggingface_hub import errors

    response = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co/a/b"))
    for error, words in [
        (errors.GatedRepoError("gated", response=response), "accept its terms"),
        (errors.RepositoryNotFoundError("none", response=response), "check the spelling"),
        (errors.HfHubHTTPError("500 Server Error\nmore", response=response), "500 Server Error"),
        (OSError(28, "No space left on device"), "No space left"),
    ]:

        def refuse(*args, error=error, **kwargs):
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
        with pytest.raises(ModelError, match=words) as caught:
            load("a/b")
        assert_one_sentence(caught.value)


def test_hub_download_records_the_commit(monkeypatch, hub_home, tiny_model_folder, tmp_path):
    import huggingface_hub

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = shutil.copytree(tiny_model_folder, tmp_path / "snapshots" / commit)
    asked = []

    def download(repository, **options):
        asked.append((repository, options))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = load("somebody/some-model")
    assert (model.source, model.commit) == ("somebody/some-model", commit)
    assert asked[0][0] == "somebody/some-model" and "*.safetensors" in asked[0][1]["allow_patterns"]


def without(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


def lose_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.2.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def misshape_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.zeros(7)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "nonesuch"}))


@pytest.mark.parametrize(
    "damage, words",
    [
        (without("config.json"), "config.json"),
        (cut("config.json"), "valid JSON"),
        (without("model.safetensors"), "no .safetensors weights"),
        (cut("model.safetensors"), "could not be loaded"),
        (without("tokenizer.json"), "tokenizer"),
        (cut("tokenizer.json"), "tokenizer"),
        (lose_a_weight, "model.layers.2.mlp.up_proj.weight"),
        (misshape_a_weight, "could not be loaded"),
        (unknown_architecture, "nonesuch"),
    ],
    ids=str,
)
def test_damaged_folders(broken, damage, words):
    damage(broken)
    with pytest.raises(ModelError) as caught:
        load(broken)
    assert words in str(caught.value)
    assert_one_sentence(caught.value)


def test_backbone_without_the_projections(tmp_path, tiny_model_folder):
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=400, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_folder).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="q_proj"):
        load(tmp_path)


def test_memory_is_checked_before_loading(tiny_model_folder, monkeypatch):
    expected = sum(tensor.numel() for tensor in load_file(tiny_model_folder / "model.safetensors").values())
    assert count_weights(tiny_model_folder) == expected
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**33))
    with pytest.raises(ModelError, match=r"needs about 1\.5 GiB .* 1\.0 GiB are free"):
        check_gpu_memory(tiny_model_folder, "tiny", torch.device("cuda", 0), torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**32, 2**33))
    check_gpu_memory(tiny_model_folder, "tiny", torch.device("cuda", 0), torch.bfloat16)


def test_loading_is_quiet(tiny_model_folder, capfd, recwarn):
    load(tiny_model_folder)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not recwarn.list


def assert_one_sentence(error):
    text = str(error)
    assert "\n" not in text and text.endswith(".") and len(text) < 700


@pytest.mark.parametrize("name", ["msw", "TSW", "best", "BEST", "ssw"])
def test_bundled_adapters_are_found_whatever_the_case(name):
    known, label = find_adapters("demo", name)
    assert label in known and label.lower() == name.lower()
