"""Adapter folders: read what is published, write the same, and let nothing in unchecked."""

import hashlib
import io
import json
import os
import pickle
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .adapter import Adapter
from .atomic import write_atomically
from .attach import attach_delta_mem, empty_adapter
from .config import CONFIG_FILE, HFDeltaMemConfig, read_values
from .errors import AdapterError, ConfigError, listing
from .functional import default_binding
from .hub import HUB_ID, fetch
from .pickles import load_pickled_tensors

PICKLE_FILE = "delta_mem_adapter.pt"
TENSOR_FILE = "delta_mem_adapter.safetensors"
CHECKSUM = "sha256"  # in the metadata of our own tensor files: of the configuration and the tensors, against damage
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of stored tensors


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
    values = read_values(folder)
    config = HFDeltaMemConfig.from_dict(values)
    with torch.inference_mode(False):
        try:
            blank = empty_adapter(model, config, "meta")  # no memory yet: the file decides whether this size is real
        except ConfigError as error:
            raise AdapterError(f"the adapter in {folder} does not fit this backbone: {error}") from error
        tensors = _checked_tensors(folder, blank, values)
        adapter = empty_adapter(model, config)
        adapter.load_tensors(tensors)
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
    metadata = {"format": "pt", CHECKSUM: _checksum(adapter.config.to_dict(), tensors)}
    write_atomically(folder / TENSOR_FILE, safetensors.torch.save(tensors, metadata))
    adapter.config.save(folder)


def adapter_hash(adapter: Adapter) -> str:
    """sha256 (hex) of the configuration and of every tensor in float32: equal for equal behaviour, on any device."""
    digest = hashlib.sha256(json.dumps(adapter.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(adapter.state_tensors().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def resolve_adapter(folder: str | Path) -> Path:
    """The local folder of an adapter, fetched when given as a hub id (the folder's name is then the commit).

    A hub id is owner/name, or owner/name@commit.

    Raises:
        AdapterError: neither a folder nor a hub id, or it cannot be fetched.
    """
    path = local_path(folder)
    if os.path.isdir(path):
        return Path(path)
    if not HUB_ID.fullmatch(str(folder)):
        raise AdapterError(f"no adapter at {folder}: give a folder with {CONFIG_FILE}, or a hub id such as owner/name")
    try:
        return fetch(str(folder), [CONFIG_FILE, PICKLE_FILE, TENSOR_FILE])
    except Exception as error:  # the client raises many kinds: no network, no such repository, no permission
        raise AdapterError(
            f"cannot fetch adapter {folder} from the hub ({type(error).__name__}: {_first_line(error)}); "
            f"check the name and the network, or give a local folder"
        ) from error


def local_path(name: str | Path) -> str:
    """A path with its leading ~ resolved; left as it is when there is no such user, so that any text can be looked up.

    Look with os.path: its functions answer no where pathlib's raise (names too long) or take nothing for this folder.
    """
    try:
        return os.path.expanduser(name)
    except ValueError:  # a user's name with a NUL in it
        return os.fspath(name)


def _checked_tensors(folder: Path, adapter: Adapter, values: dict) -> dict[str, Tensor]:
    expected = adapter.tensor_shapes()
    numbers = sum(torch.Size(size).numel() for size in expected.values())
    tensors, checksum = read_tensors(tensor_file(folder), 8 * numbers + 4096 * len(expected) + (1 << 20))
    if checksum is not None and checksum != _checksum(values, tensors):
        raise AdapterError(
            f"the adapter in {folder} does not match its checksum: a file was damaged, or {CONFIG_FILE} was changed; "
            f"use another copy, or write it again with save_delta_mem_adapter"
        )
    held = {name: tensors[name] for name in expected if name in tensors}
    plain = {name: tensor for name, tensor in held.items() if is_plain(tensor)}
    # In float32, as they will be used: a float64 can be finite and yet too large. One number needs no dimension.
    fitting = {
        name: tensor.float()
        for name, tensor in plain.items()
        if tensor.shape == expected[name] or tensor.numel() == torch.Size(expected[name]).numel() == 1
    }
    problems = {
        "missing": [name for name in expected if name not in held],
        "not expected": [name for name in tensors if name not in expected],
        "misshapen": [
            f"{name} {list(tensor.shape)} instead of {list(expected[name])}"
            for name, tensor in plain.items()
            if name not in fitting
        ],
        "not plain floating point": [name for name in held if name not in plain],
        "not finite": [name for name, tensor in fitting.items() if not bool(tensor.isfinite().all())],
    }
    found = [f"{kind}: {listing(names, 2)}" for kind, names in problems.items() if names]
    if found:
        raise AdapterError(
            f"the adapter in {folder} does not fit this backbone and configuration; {'; '.join(found)}. "
            f"Use the adapter that was trained for this backbone"
        )
    return fitting


def is_plain(tensor: Tensor) -> bool:
    """Dense numbers of a usual type, each in memory of its own: not sparse, nested, without data, or one spread out."""
    dense = tensor.layout == torch.strided and not tensor.is_nested and tensor.device.type == "cpu"
    return dense and tensor.dtype in DTYPES and tensor.untyped_storage().nbytes() >= tensor.nbytes


def tensor_file(folder: Path) -> Path:
    """The file with an adapter folder's tensors: safetensors when there is one, else `.pt`. Raises AdapterError."""
    for path in (folder / TENSOR_FILE, folder / PICKLE_FILE):
        if path.is_file():
            return path
    raise AdapterError(f"{folder} holds neither {TENSOR_FILE} nor {PICKLE_FILE}; it is not an adapter folder")


def read_tensors(path: Path, limit: int) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file of at most `limit` bytes on CPU, and the checksum that it gives, or None.

    Runs no code from the file. Raises AdapterError when it is too large or cannot be read; what the tensors are like
    is not checked.
    """
    size = path.stat().st_size
    if size > limit:
        raise AdapterError(
            f"{path} has {size:,} bytes, but an adapter of this configuration has at most {limit:,}; "
            f"it is not the adapter of this backbone"
        )
    try:
        if path.name == TENSOR_FILE:
            with safetensors.safe_open(path, "pt") as file:
                names, metadata = file.keys(), file.metadata() or {}
                return {name: file.get_tensor(name) for name in names}, metadata.get(CHECKSUM)
        tensors = load_pickled_tensors(path, limit)
    except Exception as error:  # a damaged or hostile pickle can raise anything
        unsafe = isinstance(error, pickle.UnpicklingError)  # torch's own text recommends to load it all the same
        reason = "it asks for more than tensors" if unsafe else _first_line(error)
        raise AdapterError(f"cannot read {path}: {reason}; it is damaged or not plain tensors") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise AdapterError(f"{path} is not a table of named tensors; use another copy of the adapter")
    return tensors, None


def _checksum(values: dict, tensors: dict[str, Tensor]) -> str:
    """sha256 (hex) of a configuration's values and of tensors as they are stored."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no details")[:200]
