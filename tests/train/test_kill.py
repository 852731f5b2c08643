"""A training that is killed goes on from its last checkpoint and ends where an unbroken one ends."""

import json
import os
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from deltamem.train.checkpoint import FILE

from .test_paper import annotated, paper


def command(model, data, out, *more):
    return [sys.executable, "-m", "deltamem.train", "--config", "tsw", "paper", "--model", str(model), "--passages",
            str(data), "--out", str(out), "--batch-share", "0.0625", "--checkpoint-every", "2", *more]  # fmt: skip


def run(command):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "0"}


@pytest.mark.slow
def test_a_killed_training_ends_like_an_unbroken_one(tiny_model_folder, tmp_path):
    data, broken, whole = tmp_path / "qasper.json", tmp_path / "broken", tmp_path / "whole"
    data.write_text(json.dumps({f"p{i}": paper(f"thing {i}", [annotated([f"value {i}"])]) for i in range(60)}))
    process = subprocess.Popen(
        command(tiny_model_folder, data, broken), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (broken / FILE).is_file() and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert "steps_done" not in json.loads((broken / "run.json").read_text())
    run(command(tiny_model_folder, data, broken, "--resume"))
    run(command(tiny_model_folder, data, whole))
    assert json.loads((broken / "run.json").read_text())["steps_done"] == 30
    ours, expected = (load_file(out / "adapter" / "delta_mem_adapter.safetensors") for out in (broken, whole))
    assert ours.keys() == expected.keys() and all(ours[name].equal(expected[name]) for name in expected)
