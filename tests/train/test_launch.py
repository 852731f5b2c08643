"""Several processes under accelerate train what one process does."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from deltamem.train.__main__ import main

from .test_kill import ENVIRONMENT, options, write_papers

LAUNCH = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision",
          "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]  # fmt: skip


def outcome(out):
    """(losses, adapter weights) of a training."""
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    return losses, load_file(out / "adapter" / "delta_mem_adapter.safetensors")


@pytest.mark.slow
def test_two_processes_train_like_one(tiny_model_folder, tmp_path):
    papers, one, two = write_papers(tmp_path, 12), tmp_path / "one", tmp_path / "two"
    more = ["--batch-share", "0.125", "--accumulate", "1", "--checkpoint-every", "1", "--learning-rate", "1e-2"]
    assert main(options(tiny_model_folder, papers, one, *more)) == 0
    command = [sys.executable, "-m", *LAUNCH, "deltamem.train", *options(tiny_model_folder, papers, two, *more)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    (alone, first), (shared, second) = outcome(one), outcome(two)
    assert len(alone) == 3 and alone == pytest.approx(shared, rel=0.001)
    moved, size = (
        torch.cat([tensors.float().flatten() for tensors in group])
        for group in ([second[name] - first[name] for name in first], first.values())
    )
    assert moved.norm() < 0.02 * size.norm()
