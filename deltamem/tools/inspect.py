"""`python -m deltamem.tools.inspect PATH`: what an adapter folder or a session file holds. No model is loaded."""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from deltamem.core.config import HFDeltaMemConfig
from deltamem.core.errors import DeltaMemError, listing
from deltamem.core.files import is_plain, read_tensors, tensor_file
from deltamem.quoting import quoted
from deltamem.runtime.session_file import peek


def main(arguments=None):
    """Returns the exit code: 1 for something that cannot be read, told in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m deltamem.tools.inspect", description=__doc__)
    parser.add_argument("path", type=Path, help="adapter folder or session file (.safetensors)")
    path = parser.parse_args(arguments).path
    if not path.exists():
        print(f"There is no {quoted(str(path), 200)}: give an adapter folder or a session file.", file=sys.stderr)
        return 1
    try:
        print("\n".join(adapter_lines(path) if path.is_dir() else session_lines(path)))
    except DeltaMemError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def adapter_lines(folder):
    """Configuration and tensors of an adapter folder. Raises ConfigError or AdapterError."""
    config = HFDeltaMemConfig.load(folder)
    file = tensor_file(folder)
    size = file.stat().st_size
    tensors, checksum = read_tensors(file, size)
    plain = {name: tensor for name, tensor in tensors.items() if is_plain(tensor)}
    numbers = sum(tensor.numel() for tensor in plain.values())
    default = HFDeltaMemConfig().to_dict()
    lines = [
        f"adapter {folder}: {config.variant}, rank {config.rank}, {config.num_state_heads} state(s) a layer, "
        f"steers {', '.join(config.delta_heads)}",
        f"{file.name}: {len(tensors)} tensors, {numbers:,} numbers, {size:,} bytes, "
        f"checksum {quoted(checksum or 'none', 64)}",
        f"state: {config.num_state_heads * config.rank**2 * 4:,} bytes a layer and conversation",
    ]
    changed = {key: value for key, value in config.to_dict().items() if value != default[key]}
    lines += [f"  {key}: {quoted(repr(value), 200)} (default {default[key]!r})" for key, value in changed.items()]
    kinds = defaultdict(list)
    for name, tensor in plain.items():
        kinds[name.rpartition(".")[2], tuple(tensor.shape), str(tensor.dtype)[6:]].append(tensor.float())
    for (kind, shape, dtype), alike in sorted(kinds.items()):
        mean = sum(tensor.square().mean().sqrt().item() for tensor in alike) / len(alike)
        lines.append(f"  {len(alike):3} × {quoted(kind)} {list(shape)} {dtype}, root mean square {mean:.3g}")
    wrong = {
        "NOT FINITE": [name for name, tensor in plain.items() if not tensor.isfinite().all()],
        "NOT PLAIN FLOATING POINT": [name for name in tensors if name not in plain],
    }
    return lines + [f"  {said}: {listing(names)}" for said, names in wrong.items() if names]


def session_lines(path):
    """Model, settings, steps and tensors of a session file. Raises SessionFileError."""
    content, tensors = peek(path)
    model, settings, adapter = content["model"], content["settings"], content["adapter"]
    lines = [
        f"session {path}: version {content['version']}, {path.stat().st_size:,} bytes",
        f"model: {quoted(model['name'])}, fingerprint {quoted(model['fingerprint'], 64)}",
        f"adapter: {quoted(adapter['label'])}, hash {quoted(adapter['hash'], 64)}" if adapter else "adapter: none",
        "settings: " + ", ".join(f"{key}={quoted(repr(value), 200)}" for key, value in settings.items()),
    ]
    for index, step in enumerate(content["steps"]):
        messages, texts = step["messages"], [m["content"] for m in step["messages"]]
        head = f"; begins {texts[0][:50]!r}" if texts else ""
        lines.append(
            f"  step {index + 1}, {quoted(step['kind'])}: {len(messages)} messages, "
            f"{sum(map(len, texts)):,} characters, {len(step['reply_ids'])} tokens answered{head}"
        )
    lines += [f"  {quoted(name)} {list(tensor.shape)} {str(tensor.dtype)[6:]}" for name, tensor in tensors.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
