"""Looking into adapter folders and session files without a model."""

import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from deltamem.core.files import PICKLE_FILE, TENSOR_FILE
from deltamem.runtime import Session
from deltamem.tools.inspect import main
from tests.runtime.conftest import adapter_folders, model  # noqa: F401  (fixtures)
from tests.runtime.sessions import content_of, forge, put, values

GOLDEN = Path(__file__).parents[1] / "goldens" / "qwen3_tsw" / "adapter"


def test_adapter_folders(adapter_folders, capsys):  # noqa: F811
    assert main([str(adapter_folders["MSW"])]) == 0
    own = capsys.readouterr().out
    assert "MSW, rank 4, 3 state(s) a layer, steers q, o" in own and "memory_q_proj [12, 48] float32" in own
    assert "num_state_heads: 3 (default 1)" in own and "checksum none" not in own and "NOT FINITE" not in own
    assert main([str(GOLDEN)]) == 0
    assert "TSW" in (published := capsys.readouterr().out) and "delta_mem_adapter.pt" in published


def test_session_files(model, tmp_path, capsys):  # noqa: F811
    session = Session(model, adapter="TSW", system="Be kind.")
    session.preload("My dog is called Rex.")
    session.ask("Who?", max_new_tokens=4)
    session.save(path := tmp_path / "dog.safetensors")
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    assert "system='Be kind.'" in printed and "adapter: TSW, hash" in printed and "states [2, " in printed
    assert "step 1, history: 1 messages" in printed and "step 2, turn: 2 messages" in printed


@pytest.mark.parametrize("damage", ["empty", "cut", "missing"])
def test_what_cannot_be_read_is_one_sentence(tmp_path, damage, capsys):
    folder = shutil.copytree(GOLDEN, tmp_path / "adapter")
    file = folder / "delta_mem_adapter.pt"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100] if damage == "cut" else b"")
    assert main([str(folder)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main([str(tmp_path / "nothing.safetensors")]) == 1
    assert "There is no" in capsys.readouterr().err


def test_a_hostile_session_file_is_one_sentence(model, tmp_path, capsys):  # noqa: F811
    session = Session(model, adapter="TSW")
    session.ask("Who?", max_new_tokens=2)
    session.save(path := tmp_path / "session.safetensors")
    saved = path.read_bytes()
    for place in values(content_of(saved)):
        for value in (7, [], {}):
            path.write_bytes(forge(saved, put(*place, value=value)))
            if main([str(path)]):
                assert capsys.readouterr().err.count("\n") == 1
    path.write_bytes(forge(saved, put("model", "name", value="\x1b[2J")))
    assert main([str(path)]) == 0 and "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("table", [[1], {"a": 1}, {1: torch.ones(2)}])
def test_what_is_no_table_of_tensors_is_one_sentence(tmp_path, table, capsys):
    folder = shutil.copytree(GOLDEN, tmp_path / "adapter")
    torch.save(table, folder / PICKLE_FILE)
    assert main([str(folder)]) == 1
    assert "not a table of named tensors" in capsys.readouterr().err


def test_strange_tensors_are_shown_as_such(adapter_folders, tmp_path, capsys):  # noqa: F811
    folder = shutil.copytree(adapter_folders["TSW"], tmp_path / "adapter")
    strange = {
        "\x1b[2J": torch.ones(2),
        "a.nan": torch.tensor(float("nan")),
        "a.small": torch.ones(2, dtype=torch.int8),
    }
    safetensors.torch.save_file(strange | {"a.tiny": torch.ones(2).to(torch.float8_e4m3fn)}, folder / TENSOR_FILE)
    assert main([str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "NOT FINITE: a.nan" in printed and "NOT PLAIN FLOATING POINT: a.small, a.tiny" in printed
    assert "\x1b" not in printed
