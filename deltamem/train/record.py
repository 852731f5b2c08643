"""What a run was: options, data, versions, and its curves."""

import hashlib
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import accelerate
import torch
import transformers

from deltamem.core.atomic import write_atomically

RECORD = "run.json"


def start_record(out: Path, options, model, batches) -> None:
    """Write run.json before the first step."""
    out.mkdir(parents=True, exist_ok=True)
    files = {key: getattr(options, key) for key in ("talk", "dialogues", "passages") if getattr(options, key)}
    first = batches[0]
    record = {
        "options": asdict(options),
        "backbone": {"source": model.source, "fingerprint": model.fingerprint, "dtype": str(model.dtype)},
        "device": torch.cuda.get_device_name() if model.device.type == "cuda" else platform.processor() or "cpu",
        "data": {key: _sha256(Path(path)) for key, path in files.items()},
        "first_batch": hashlib.sha256(b"".join(slot.ids.numpy().tobytes() for slot in first[1])).hexdigest(),
        "versions": {
            "deltamem": version("deltamem") if _installed() else "source",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
        },
    }
    write_atomically(out / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def finish_record(out: Path, steps: int) -> None:
    """Add how far it came, and draw curves.png from log.jsonl."""
    record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    entries = read_log(out)
    record["steps_done"], record["last"] = steps, entries[-1] if entries else None
    write_atomically(out / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    draw_curves(entries, out / "curves.png")


def read_log(out: Path) -> list[dict]:
    """The entries of log.jsonl; of a step logged twice (after a resume) the later one."""
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return list({entry["step"]: entry for entry in map(json.loads, lines)}.values())


def draw_curves(entries: list[dict], path: Path) -> None:
    """Loss, and the recall sample where there is one, over steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([e["step"] for e in entries], [e["loss"] for e in entries], color="#0072b2")
    axes.set(xlabel="step", ylabel="loss of learnt reply tokens", yscale="log")
    sampled = [e for e in entries if "recall" in e]
    if sampled:
        right = axes.twinx()
        right.plot([e["step"] for e in sampled], [100 * e["recall"] for e in sampled], "o-", color="#d55e00")
        right.set(ylabel="exact recall of held-out facts, %", ylim=(0, 100))
    figure.savefig(path, dpi=110)


def _sha256(path: Path) -> str:
    """Of a file, or of the data files of a folder one after another."""
    digest = hashlib.sha256()
    for one in sorted(path.glob("*.json*")) if path.is_dir() else [path]:
        with one.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _installed() -> bool:
    try:
        version("deltamem")
    except ImportError:  # PackageNotFoundError is one
        return False
    return True
