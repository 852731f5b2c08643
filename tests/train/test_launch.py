"""Several processes under accelerate train what one process does."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

OPTIONS = ["--config", "tsw", "--steps", "3", "--ordinary", "2", "--batch-share", "0.04", "--checkpoint-every", "1"]
LAUNCH = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision",
          "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"]  # fmt: skip


def trained(out, launcher):
    """(losses, adapter weights) of a short training of the demo model."""
    command = [sys.executable, "-m", *launcher, "deltamem.train", "--out", str(out), *OPTIONS]
    places = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    return losses, load_file(out / "adapter" / "delta_mem_adapter.safetensors")


@pytest.mark.slow
def test_two_processes_train_like_one(demo_model, tmp_path):
    (one, alone), (two, shared) = trained(tmp_path / "one", []), trained(tmp_path / "two", LAUNCH)
    assert len(one) == 3 and one == pytest.approx(two, rel=0.03)
    moved = torch.cat([(shared[name] - alone[name]).float().flatten() for name in alone])
    size = torch.cat([alone[name].float().flatten() for name in alone])
    assert moved.norm() < 0.02 * size.norm()
