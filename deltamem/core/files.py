"""Adapter folders: read what is published, write the same, and let nothing in unchecked."""

import hashlib
import io
import json
import pickle
import re
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .adapter import Adapter
from .atomic import write_atomically
from .attach import attach_delta_mem, empty_adapter
from .config import CONFIG_FILE, HFDeltaMemConfig
from .errors import AdapterError, ConfigError, listing
from .functional import default_binding

PICKLE_FILE = "delta_mem_adapter.pt"
TENSOR_FILE = "delta_mem_adapter.safetensors"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load_delta_mem_adapter(model: nn.Module, folder: str | Path) -> list[str]:
    """Read an adapter folder or hub id and attach it, trainable; returns the attached modules' names.

    Raises:
        AdapterError: the folder cannot be had, read, or does not fit; the model is then untouched.
        ConfigError: a configuration this library does not honour; likewise.
    """
    return attach_delta_mem(model, read_adapter(folder, model).requires_grad_(True))


def save_delta_mem_adapter(model: nn.Module, folder: str | Path) -> None:
    """Write the attached adapter. Raises StateError when nothing is attached, OSError when the folder cannot be."""
    write_adapter(default_binding(model).adapter, folder)


def read_adapter(folder: str | Path, model: nn.Module) -> Adapter:
    """Read an adapter folder or hub id for a backbone; nothing is attached, and the weights are frozen.

    Raises:
        AdapterError: missing, extra, misshapen or non-finite tensors, all named at once; a wrong backbone; an
            unreadable file; a hub id that cannot be fetched.
        ConfigError: a configuration this library does not honour.
    """
    folder = resolve_adapter(folder)
    config = HFDeltaMemConfig.load(folder)
    with torch.inference_mode(False):
        try:
            adapter = empty_adapter(model, config)
        except ConfigError as error:
            raise AdapterError(f"the adapter in {folder} does not fit this backbone: {error}") from error
        adapter.load_tensors(_checked_tensors(folder, adapter))
        return adapter.requires_grad_(False)


def write_adapter(adapter: Adapter, folder: str | Path, dtype: torch.dtype = torch.float32, pt: bool = True) -> None:
    """Write an adapter folder: configuration, safetensors and, for the published code, the same as `.pt`.

    Each file is replaced in one step, the configuration last.

    Args:
        dtype: of the stored tensors.
        pt: False leaves the `.pt` out.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in adapter.state_tensors().items()}
    if pt:
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        write_atomically(folder / PICKLE_FILE, buffer.getvalue())
    else:
        (folder / PICKLE_FILE).unlink(missing_ok=True)
    write_atomically(folder / TENSOR_FILE, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    adapter.config.save(folder)


def adapter_hash(adapter: Adapter) -> str:
    """sha256 (hex) of the configuration and of every tensor in float32: equal for equal behaviour, on any device."""
    digest = hashlib.sha256(json.dumps(adapter.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(adapter.state_tensors().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def resolve_adapter(folder: str | Path, revision: str | None = None) -> Path:
    """The local folder of an adapter, fetched when given as a hub id (the folder's name is then the commit).

    Raises:
        AdapterError: neither a folder nor a hub id, or it cannot be fetched.
    """
    path = Path(folder).expanduser()
    if path.is_dir():
        return path
    if not HUB_ID.fullmatch(str(folder)):
        raise AdapterError(f"no adapter at {folder}: give a folder with {CONFIG_FILE}, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download

    try:
        wanted = [CONFIG_FILE, PICKLE_FILE, TENSOR_FILE]
        return Path(snapshot_download(str(folder), revision=revision, allow_patterns=wanted))
    except Exception as error:  # the client raises many kinds: no network, no such repository, no permission
        raise AdapterError(
            f"cannot fetch adapter {folder} from the hub ({type(error).__name__}: {_first_line(error)}); "
            f"check the name and the network, or give a local folder"
        ) from error


def _checked_tensors(folder: Path, adapter: Adapter) -> dict[str, Tensor]:
    expected = adapter.tensor_shapes()
    tensors = _read_tensors(folder, sum(torch.Size(size).numel() for size in expected.values()), len(expected))
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "not expected": [name for name in tensors if name not in expected],
        "misshapen": [
            f"{name} {list(tensors[name].shape)} instead of {list(size)}"
            for name, size in expected.items()
            if name in tensors and tuple(tensors[name].shape) != tuple(size)
        ],
        "not floating point": [name for name in expected if name in tensors and not tensors[name].is_floating_point()],
        "not finite": [
            name
            for name in expected
            if name in tensors and tensors[name].is_floating_point() and not bool(tensors[name].isfinite().all())
        ],
    }
    found = [f"{kind}: {listing(names)}" for kind, names in problems.items() if names]
    if found:
        raise AdapterError(
            f"the adapter in {folder} does not fit this backbone and configuration; {'; '.join(found)}. "
            f"Use the adapter that was trained for this backbone"
        )
    return tensors


def _read_tensors(folder: Path, numbers: int, count: int) -> dict[str, Tensor]:
    """The folder's tensors on CPU, from the safetensors file when there is one. Runs no code from the file."""
    path = folder / TENSOR_FILE
    if not path.is_file():
        path = folder / PICKLE_FILE
    if not path.is_file():
        raise AdapterError(f"{folder} holds neither {TENSOR_FILE} nor {PICKLE_FILE}; it is not an adapter folder")
    size, limit = path.stat().st_size, 8 * numbers + 4096 * count + (1 << 20)
    if size > limit:
        raise AdapterError(
            f"{path} has {size:,} bytes, but an adapter of this configuration has at most {limit:,}; "
            f"it is not the adapter of this backbone"
        )
    try:
        if path.name == TENSOR_FILE:
            return safetensors.torch.load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise AdapterError(f"cannot read {path}: {_first_line(error)}; it is damaged or not plain tensors") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise AdapterError(f"{path} is not a table of named tensors")
    return tensors


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")[:200]
