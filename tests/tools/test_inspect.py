"""Looking into adapter folders and session files without a model."""

import shutil
from pathlib import Path

import pytest

from deltamem.runtime import Session
from deltamem.tools.inspect import main
from tests.runtime.conftest import adapter_folders, model  # noqa: F401  (fixtures)

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
    assert "cannot be read" in capsys.readouterr().err
