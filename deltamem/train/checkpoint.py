"""Checkpoints of a training: weights, optimiser moments, step and settings in one safetensors file."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from deltamem.core.errors import DeltaMemError

FILE = "checkpoint.safetensors"
SHARES = "checkpoint"  # folder of a sharded training
MOMENTS = ("exp_avg", "exp_avg_sq")


class TrainingError(DeltaMemError):
    """Training cannot start or go on."""


@dataclass(frozen=True)
class Settings:
    """What a run is made of; stored with its checkpoints, and compared on resume."""

    steps: int = 3000
    learning_rate: float = 4e-3
    warmup: float = 0.03
    clip: float = 1.0
    accumulate: int = 1
    seed: int = 0
    checkpoint_every: int = 500


def save_checkpoint(folder: Path, step: int, settings: Settings, parameters, optimizer) -> None:
    """Write the checkpoint of a folder; a kill in the middle leaves the one before."""
    tensors = {}
    for i, parameter in enumerate(parameters):
        tensors[f"weight.{i}"] = parameter.detach()
        tensors |= {f"{moment}.{i}": optimizer.state[parameter][moment] for moment in MOMENTS}
    part = folder / f"{FILE}.part"
    record = json.dumps({"step": step, **asdict(settings)})
    save_file({name: x.contiguous().cpu() for name, x in tensors.items()}, part, metadata={"training": record})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(folder / FILE)


def load_checkpoint(folder: Path, settings: Settings, parameters, optimizer) -> int:
    """Put a folder's checkpoint into parameters and optimiser; the step it was made at.

    Raises TrainingError when there is none, when it is damaged, or when it was made with other settings.
    """
    path = folder / FILE
    if not path.is_file():
        raise TrainingError(f"There is no {path} to resume from; leave --resume out to start anew.")
    try:
        with safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); remove it and start anew.") from error
    step = record.pop("step")
    changed = _changed(record, settings)
    shapes = {name: tuple(x.shape) for name, x in tensors.items() if name.startswith("weight.")}
    if shapes != {f"weight.{i}": tuple(parameter.shape) for i, parameter in enumerate(parameters)}:
        changed.append("an adapter of another shape")
    if changed:
        raise TrainingError(
            f"{path} was made with other settings ({', '.join(changed)}); use the same, or a new folder."
        )
    with torch.no_grad():
        for i, parameter in enumerate(parameters):
            parameter.copy_(tensors[f"weight.{i}"])
            on_device = parameter.is_cuda  # a captured step counts on the device
            optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device if on_device else "cpu"),
                **{moment: tensors[f"{moment}.{i}"].to(parameter.device) for moment in MOMENTS},
            }
    return step


def save_sharded(folder: Path, step: int, settings: Settings, engine) -> None:
    """Write a DeepSpeed engine's checkpoint, each process its share, and remove the ones before. Called by all."""
    record = {"step": step, **asdict(settings)}
    engine.save_checkpoint(str(folder / SHARES), tag=f"step-{step}", client_state={"training": record})
    torch.distributed.barrier()
    if torch.distributed.get_rank() == 0:
        for older in (folder / SHARES).glob("step-*"):
            if older.name != f"step-{step}":
                shutil.rmtree(older)


def load_sharded(folder: Path, settings: Settings, engine) -> int:
    """Put a folder's shares back into the engine; the step they were made at. Raises TrainingError."""
    if not (folder / SHARES / "latest").is_file():
        raise TrainingError(f"There is no {folder / SHARES} to resume from; leave --resume out to start anew.")
    _, record = engine.load_checkpoint(str(folder / SHARES))
    record = record["training"]
    step = record.pop("step")
    if changed := _changed(record, settings):
        raise TrainingError(
            f"{folder / SHARES} was made with other settings ({', '.join(changed)}); use the same, or a new folder."
        )
    return step


def _changed(record: dict, settings: Settings) -> list[str]:
    return [
        f"{name} {record.get(name)} -> {value}" for name, value in asdict(settings).items() if record.get(name) != value
    ]
