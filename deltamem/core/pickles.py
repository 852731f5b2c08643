"""The published kind of adapter file, a pickle in a ZIP, read so that only tensors of what the file holds come of it.

`weights_only=True` runs no code from the file, but still lets a hundred bytes ask for any amount of memory
(`bytearray(n)`), so what a pickle names is looked at first.
"""

import io
import pickletools
import zipfile
from pathlib import Path

import torch
from torch import Tensor

STORAGES = ("Half", "BFloat16", "Float", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
# What a table of plain tensors needs, all that the published code ever wrote, and no more.
NAMES = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"} | {
    f"torch {kind}Storage" for kind in STORAGES
}


def load_pickled_tensors(path: Path, limit: int) -> dict[str, Tensor]:
    """The tensors of a `.pt` file on the CPU. limit: bytes that its parts may have together.

    Raises ValueError, OSError, zipfile.BadZipFile or whatever else a damaged file makes PyTorch raise.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(e.compress_type != zipfile.ZIP_STORED for e in entries) or sum(e.file_size for e in entries) > limit:
            raise ValueError("it is compressed, or claims more than it holds")
        parts = [(entry.filename, archive.read(entry)) for entry in entries]
    for name, data in parts:
        if name.lower().endswith(".pkl"):  # PyTorch's reader finds DATA.PKL, too
            _check(data)
    # Packed once more, so that PyTorch's reader sees the very parts that were checked.
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in parts:
            archive.writestr(name, data)
    packed.seek(0)
    return torch.load(packed, map_location="cpu", weights_only=True)


def _check(data: bytes) -> None:
    """Raise ValueError for a pickle that names anything else than plain tensors."""
    for operation, argument, _ in pickletools.genops(data):
        if operation.name in ("GLOBAL", "INST") and argument not in NAMES:
            raise ValueError(f"it asks for {argument[:60]!r}, more than tensors of numbers")
        if operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise ValueError("it asks for more than tensors of numbers")
