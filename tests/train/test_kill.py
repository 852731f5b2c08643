"""A training that is killed goes on from its last checkpoint and ends where an unbroken one ends."""

import json
import os
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from deltamem.train.__main__ import main
from deltamem.train.checkpoint import FILE

from .test_paper import annotated, paper

ENVIRONMENT = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "0"}


def write_papers(folder, count):
    """A file of so many papers with one question each."""
    papers = {f"p{i}": paper(f"thing {i}", [annotated([f"value {i}"])]) for i in range(count)}
    (folder / "qasper.json").write_text(json.dumps(papers))
    return folder / "qasper.json"


def options(model, papers, out, *more):
    """A command line of the published recipe."""
    places = ["--model", str(model), "--passages", str(papers), "--out", str(out)]
    return ["--config", "tsw", "paper", *places, *more]


@pytest.mark.slow
def test_a_killed_training_ends_like_an_unbroken_one(tiny_model_folder, tmp_path):
    papers, broken, whole = write_papers(tmp_path, 40), tmp_path / "broken", tmp_path / "whole"
    more = ["--batch-share", "0.0625", "--accumulate", "2", "--checkpoint-every", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deltamem.train", *options(tiny_model_folder, papers, broken, *more)],
        env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (broken / FILE).is_file() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert "steps_done" not in json.loads((broken / "run.json").read_text())
    assert main(options(tiny_model_folder, papers, broken, *more, "--resume")) == 0
    assert main(options(tiny_model_folder, papers, whole, *more)) == 0
    assert json.loads((broken / "run.json").read_text())["steps_done"] == 20
    ours, expected = (load_file(out / "adapter" / "delta_mem_adapter.safetensors") for out in (broken, whole))
    assert ours.keys() == expected.keys() and all(ours[name].equal(expected[name]) for name in expected)
