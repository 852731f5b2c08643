"""`python -m deltamem.tools.inspect PATH`: what an adapter folder or a session file holds. No model is loaded."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import safetensors
import torch

from deltamem.core.config import HFDeltaMemConfig, read_values
from deltamem.core.errors import AdapterError, DeltaMemError
from deltamem.core.files import CHECKSUM, PICKLE_FILE, TENSOR_FILE
from deltamem.core.pickles import load_pickled_tensors
from deltamem.runtime.session_file import peek


def main(arguments=None):
    """Returns the exit code: 1 for something that cannot be read, told in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m deltamem.tools.inspect", description=__doc__)
    parser.add_argument("path", type=Path, help="adapter folder or session file (.safetensors)")
    path = parser.parse_args(arguments).path
    try:
        print("\n".join(adapter_lines(path) if path.is_dir() else session_lines(path)))
    except DeltaMemError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def adapter_lines(folder):
    """Configuration and tensors of an adapter folder."""
    config = HFDeltaMemConfig.from_dict(read_values(folder))
    file = TENSOR_FILE if (folder / TENSOR_FILE).is_file() else PICKLE_FILE
    tensors, checksum = _read(folder / file)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    plain = HFDeltaMemConfig().to_dict()
    lines = [
        f"adapter {folder}: {config.variant}, rank {config.rank}, {config.num_state_heads} state(s) a layer, "
        f"steers {', '.join(config.delta_heads)}",
        f"{file}: {len(tensors)} tensors, {numbers:,} numbers, {(folder / file).stat().st_size:,} bytes, "
        f"checksum {checksum or 'none'}",
        f"state: {config.num_state_heads * config.rank**2 * 4:,} bytes a layer and conversation",
    ]
    changed = {key: value for key, value in config.to_dict().items() if value != plain[key]}
    lines += [f"  {key}: {value} (default {plain[key]})" for key, value in changed.items()]
    kinds = Counter((name.rpartition(".")[2], tuple(t.shape), str(t.dtype)[6:]) for name, t in tensors.items())
    for (kind, shape, dtype), count in sorted(kinds.items()):
        named = [t.float() for name, t in tensors.items() if name.endswith(f".{kind}") and tuple(t.shape) == shape]
        size = torch.stack([t.square().mean().sqrt() for t in named]).mean().item()
        lines.append(f"  {count:3} × {kind} {list(shape)} {dtype}, root mean square {size:.3g}")
    if bad:
        lines.append(f"  NOT FINITE: {', '.join(bad[:5])}")
    return lines


def _read(path):
    """({name: tensor}, checksum or None) of an adapter's tensor file."""
    try:
        if path.name == PICKLE_FILE:
            return load_pickled_tensors(path, path.stat().st_size), None
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(CHECKSUM)
    except Exception as error:  # a damaged file can raise anything
        reason = str(error).splitlines()[0][:200]
        raise AdapterError(
            f"cannot read {path}: {reason}; give a folder with {TENSOR_FILE} or {PICKLE_FILE}"
        ) from error


def session_lines(path):
    """Model, settings, steps and tensors of a session file."""
    content, tensors = peek(path)
    model, settings, adapter = content["model"], content["settings"], content["adapter"]
    lines = [
        f"session {path}: version {content['version']}, {path.stat().st_size:,} bytes",
        f"model: {model.get('name')}, fingerprint {model.get('fingerprint')}",
        f"adapter: {adapter['label']}, hash {adapter['hash']}" if adapter else "adapter: none",
        "settings: " + ", ".join(f"{key}={value!r}" for key, value in settings.items()),
    ]
    for index, step in enumerate(content["steps"]):
        messages, texts = step["messages"], [m["content"] for m in step["messages"]]
        head = f"; begins {texts[0][:50]!r}" if texts else ""
        lines.append(
            f"  step {index + 1}, {step['kind']}: {len(messages)} messages, {sum(map(len, texts)):,} characters, "
            f"{len(step['reply_ids'])} tokens answered{head}"
        )
    lines += [f"  {name} {list(tensor.shape)} {str(tensor.dtype)[6:]}" for name, tensor in tensors.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
