"""One file per session: a .safetensors whose metadata holds versioned JSON. Nothing in it is believed unchecked.

Tensors (memory sessions with at least one step): states [S, L, H, r, r], beta and lam [S, L, H, r], float32, for S
steps and L layers. Metadata: "format", "session" (the JSON), "sha256" of JSON and tensors, against damage. The KV is
not kept: a session rebuilds it from the messages.
"""

import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from deltamem.core.atomic import write_atomically
from deltamem.core.errors import listing
from deltamem.core.files import adapter_hash
from deltamem.quoting import quoted
from deltamem.runtime.engine import STOPS
from deltamem.runtime.errors import SessionError, SessionFileError
from deltamem.runtime.prompt import check_messages, check_text
from deltamem.runtime.snapshot import Snapshot, Step, step_label

FORMAT = "deltamem-session"
VERSION = 2
MAX_BYTES = 256 * 2**20
MAX_HEADER = 100_000_000  # what the safetensors library reads
MAX_VALUES = 4_000_000  # marks that can open or part JSON values: each may take twenty times its size in memory
SETTINGS = ("memory", "context", "system", "recent_turns", "passages", "strength", "writes", "layers_off")

_NUMBER = (int, float)
_TOP = {"version": int, "model": dict, "adapter": (dict, type(None)), "settings": dict, "layers": list, "steps": list}
_MODEL = {"name": str, "source": str, "commit": (str, type(None)), "fingerprint": str}
_ADAPTER = {"label": str, "hash": str}
_SETTINGS = {"memory": bool, "context": str, "system": (str, type(None)), "recent_turns": int, "strength": _NUMBER}
_SINCE_2 = {"passages": int, "writes": bool, "layers_off": list}
_STEP = {"kind": str, "messages": list, "reply_ids": list, "written_tokens": int, "stats": dict}
_MESSAGE = {"role": str, "content": str}
_COUNTS = ("prompt_tokens", "history_tokens", "written_tokens", "new_tokens", "state_bytes", "kv_bytes")
_STATS = dict.fromkeys(_COUNTS, int) | {"ttft_s": _NUMBER, "tok_s": _NUMBER, "stop": str}


def save(path, model, adapter, settings, steps):
    """Write a session; the file is the old or the new one, never half of either.

    adapter: the session's Adapter, None without memory. settings: a value for each of SETTINGS.
    Raises SessionFileError when the file cannot be written or would be too large to read again.
    """
    path = Path(path)
    known = {id(found): label for label, found in model.adapters.items()}
    content = {
        "version": VERSION,
        "model": {name: getattr(model, name) for name in _MODEL},
        "adapter": adapter and {"label": known.get(id(adapter), adapter.config.variant), "hash": adapter_hash(adapter)},
        "settings": settings,
        "layers": list(adapter.layers) if adapter else [],
        "steps": [{name: getattr(step, name) for name in _STEP} for step in steps],
    }
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    tensors = {}
    if adapter and steps:
        for name in ("states", "beta", "lam"):
            tensors[name] = torch.stack([torch.from_numpy(getattr(step.snapshot, name)) for step in steps])
    metadata = {"format": FORMAT, "session": text, "sha256": _digest(text, tensors)}
    try:
        data = safetensors.torch.save(tensors, metadata)
        header = int.from_bytes(data[:8], "little")
        if header > MAX_HEADER or len(data) > MAX_BYTES or _values(data[: 8 + header]) > MAX_VALUES:
            raise SessionFileError(
                f"The session takes {len(data):,} bytes, {header:,} of them text with {_values(data[: 8 + header]):,} "
                f"commas and brackets; a session file holds at most {MAX_BYTES:,}, {MAX_HEADER:,} and {MAX_VALUES:,}. "
                "Take back the long history before saving."
            )
        write_atomically(path, data)
    except (OSError, ValueError, SafetensorError) as error:  # ValueError: a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise SessionFileError(f"The session cannot be written to {path}: {reason}; choose another place.") from error


def load(path, model):
    """Read and check a file: (settings for Session, with the adapter's label, and its steps).

    Raises SessionFileError, in one sentence, for everything that is wrong; the model is not touched.
    """
    path = Path(path)
    try:
        return _checked(_read(path), model)
    except (_Bad, SessionError) as error:
        raise SessionFileError(f"{quoted(path.name)} cannot be loaded: {error}") from error


def peek(path):
    """(JSON content, tensors) of an undamaged file, not held against any model. Raises SessionFileError.

    The content has all fields of the format and their types; the values may mean nothing.
    """
    path = Path(path)
    try:
        return _formed(_read(path))
    except _Bad as error:
        raise SessionFileError(f"{quoted(path.name)} cannot be read: {error}") from error


class _Bad(Exception):
    """What is wrong with a file."""


def _read(path):
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise _Bad("it is a device or a pipe; give a file that a session was saved to.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _Bad(f"it has {size:,} bytes and a session file has at most {MAX_BYTES:,}.")
        with path.open("rb") as file:
            return file.read(size)  # not more, should it grow meanwhile
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise _Bad(f"{getattr(error, 'strerror', None) or error}; give a file that a session was saved to.") from error


def _formed(data):
    """(JSON content, tensors) of the file's bytes, in the form of this version or the first."""
    content, tensors = _open(data)
    version = content.get("version") if isinstance(content, dict) else None
    if type(version) is int and version > VERSION:
        raise _Bad(f"it has version {quoted(version)} and this release reads up to {VERSION}; update the project.")
    _object(content, _TOP, "The file")
    if version not in (1, VERSION):
        raise _Bad(f"it has version {quoted(version)}, which never was; the file is damaged.")
    _object(content["model"], _MODEL, "The model")
    _object(content["settings"], _SETTINGS | (_SINCE_2 if version > 1 else {}), "The settings")
    if content["settings"]["memory"] != (content["adapter"] is not None):
        raise _Bad("it has a memory without an adapter, or the other way round; the file is damaged.")
    if content["adapter"] is not None:
        _object(content["adapter"], _ADAPTER, "The adapter")
    for index, step in enumerate(content["steps"]):
        _object(step, _STEP, f"Step {index}")
        for message in step["messages"]:
            _object(message, _MESSAGE, f"A message of step {index}")
    return content, tensors


def _checked(data, model):
    """(settings, steps) of the file's bytes, for a session of the model."""
    content, tensors = _formed(data)
    settings, adapter = dict(content["settings"]), None
    _check_model(content["model"], model)
    if settings["memory"]:
        settings["adapter"], adapter = _find_adapter(content["adapter"], model)
    if content["layers"] != (list(adapter.layers) if adapter else []):
        raise _Bad("its layers are not those of the adapter; the file is damaged.")
    steps = [_check_step(step, index, model, settings["memory"]) for index, step in enumerate(content["steps"])]
    _check_tensors(tensors, adapter, len(steps))
    made = []
    for index, step in enumerate(steps):
        made.append(_step(step, made, index, tensors, adapter, model.device))
    return settings, made


def _open(data):
    """(JSON content, tensors) of the file's bytes, undamaged."""
    damaged = "it is damaged or no session file; give a file that a session was saved to."
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(MAX_HEADER, len(data) - 8):
        raise _Bad(damaged)
    _check_values(data[: 8 + size])
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__")
        if metadata.pop("format") != FORMAT or any(entry["dtype"] != "F32" for entry in header.values()):
            raise _Bad(damaged)
        tensors = safetensors.torch.load(data)
        if metadata["sha256"] != _digest(metadata["session"], tensors):
            raise _Bad("its checksum does not match, so it was damaged; use another copy.")
        _check_values(metadata["session"].encode())  # once more: outside it, each mark could be written as \uXXXX
        content = json.loads(metadata["session"], parse_constant=_no_constant)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair could not be saved again
        return content, tensors
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise _Bad(damaged) from error


def _check_model(saved, model):
    if saved["fingerprint"] != model.fingerprint:
        raise _Bad(
            f"it belongs to the backbone {quoted(saved['name'])} ({quoted(saved['fingerprint'], 12)}) and the loaded "
            f"one is {model.name} ({model.fingerprint[:12]}); load that backbone."
        )


def _find_adapter(saved, model):
    """(label, Adapter) of the saved weights, whatever they are called here."""
    for label, adapter in model.adapters.items():
        if adapter_hash(adapter) == saved["hash"]:
            return label, adapter
    raise _Bad(
        f"it needs the adapter {quoted(saved['label'])} ({quoted(saved['hash'], 12)}), which the loaded model does not "
        "have; load the model with that adapter."
    )


def _check_step(step, index, model, memory):
    """The step's JSON with its texts in the form sessions keep them."""
    if step["written_tokens"] < 0:
        raise _Bad(f"step {index} has written {step['written_tokens']} tokens; the file is damaged.")
    if step["kind"] == "history":
        if step["reply_ids"] or step["stats"]:
            raise _Bad(f"step {index} is history with an answer; the file is damaged.")
        return step | {"messages": check_messages(step["messages"])}
    if step["kind"] == "state":
        if step["reply_ids"] or step["messages"] or not memory or step["written_tokens"]:
            raise _Bad(f"step {index} is a state with messages or without memory; the file is damaged.")
        _object(step["stats"], {"note": str}, f"The stats of step {index}")
        return step | {"stats": {"note": check_text(step["stats"]["note"])}}
    if step["kind"] != "turn" or [m["role"] for m in step["messages"]] != ["user", "assistant"]:
        raise _Bad(f"step {index} is neither history nor a turn; the file is damaged.")
    check_text(step["messages"][0]["content"])
    vocabulary = model.backbone.get_input_embeddings().num_embeddings
    for token in step["reply_ids"]:
        if type(token) is not int or not 0 <= token < vocabulary or token in model.chat.stop_ids:
            raise _Bad(f"step {index} has a token {quoted(token, 20)}, which no answer holds; the file is damaged.")
    stats = dict(step["stats"])
    passages = stats.pop("passages", [])
    rebuilt, writes = stats.pop("rebuilt_tokens", 0), stats.pop("layer_writes", [0, 0])  # not in files of version 1
    counts = [rebuilt, *writes] if isinstance(writes, list) else []
    if len(counts) != 3 or not all(type(count) is int and 0 <= count < 2**63 for count in counts):
        raise _Bad(f"the counts of step {index} are no whole numbers; the file is damaged.")
    _object(stats, _STATS, f"The stats of step {index}")
    if stats["stop"] not in STOPS:
        raise _Bad(f"step {index} ended by {quoted(repr(stats['stop']), 22)}; the file is damaged.")
    if not isinstance(passages, list) or not all(isinstance(passage, str) for passage in passages):
        raise _Bad(f"the passages of step {index} are not a list of texts; the file is damaged.")
    return step


def _check_tensors(tensors, adapter, count):
    expected = {}
    if adapter and count:
        config = adapter.config
        gates = (count, len(adapter.layers), config.num_state_heads, config.rank)
        expected = {"states": (*gates, config.rank), "beta": gates, "lam": gates}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != expected:
        raise _Bad(f"its tensors are {quoted(shapes, 200)} and should be {expected}; the file is damaged.")
    if expected:
        gates = torch.stack([tensors["beta"], tensors["lam"]])
        if not tensors["states"].isfinite().all() or not (gates.isnan() | (gates >= 0) & (gates <= 1)).all():
            raise _Bad("its memory holds values that are no numbers or out of range; the file is damaged.")


def _step(step, earlier, index, tensors, adapter, device):
    written = step["written_tokens"]
    fields = {name: value for name, value in step.items() if name != "written_tokens"}
    if adapter is None:
        return Step(**fields)
    layers, states = list(adapter.layers), tensors["states"][index]
    label = step_label(step["kind"], step["stats"], earlier)
    beta, lam = (tensors[name][index].numpy() for name in ("beta", "lam"))
    snapshot = Snapshot(label, layers, states.numpy(), beta, lam, written)
    on_device = {name: state[None].to(device) for name, state in zip(layers, states, strict=True)}
    return Step(**fields, states=on_device, snapshot=snapshot)


def _object(value, spec, where):
    """Check that a JSON value is an object with exactly these fields, of these types."""
    if not isinstance(value, dict):
        raise _Bad(f"{where} is no JSON object; the file is damaged.")
    if value.keys() != spec.keys():
        names = listing(sorted(map(str, value.keys() ^ spec.keys())), 5, 40)
        raise _Bad(f"{where} lacks or should not have: {names}; the file is damaged.")
    for name, kinds in spec.items():
        found = value[name]
        wrong = isinstance(found, bool) if kinds is not bool else False
        if wrong or not isinstance(found, kinds):
            raise _Bad(f'{where} has "{name}" of type {type(found).__name__}; the file is damaged.')
        if isinstance(found, _NUMBER) and not -(2**63) < found < 2**63:
            raise _Bad(f'{where} has "{name}" out of range; the file is damaged.')


def _values(text):
    """How many values the JSON in these bytes can hold at most."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _check_values(text):
    if _values(text) > MAX_VALUES:
        raise _Bad(f"it lists more than the {MAX_VALUES:,} values that a session file may; it is none, or damaged.")


def _no_constant(name):
    raise ValueError(f"{name} is no number")


def _digest(text, tensors):
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
