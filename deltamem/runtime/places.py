"""From a name to a folder on this machine: presets, folders, and repositories on the Hugging Face hub."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from deltamem.runtime.demo import demo_folder
from deltamem.runtime.errors import ModelError
from deltamem.runtime.presets import PRESETS

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
BASE_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "*.txt")
ADAPTER_FILES = ("delta_mem_*",)


@dataclass(frozen=True)
class Place:
    """folder: where the files lie; source: the hub id or folder asked for; commit: resolved hub commit or None."""

    folder: Path
    source: str
    commit: str | None = None


def find_base(name, progress):
    """Place of a backbone given by preset name, hub id or folder. Raises ModelError."""
    if name in PRESETS:
        if PRESETS[name].base is None:
            return Place(demo_folder(progress), PRESETS[name].title)
        return _fetch(PRESETS[name].base, BASE_FILES, "model", progress)
    choices = f"a preset ({', '.join(PRESETS)}), a folder or a hub id (owner/name)"
    return _find(name, BASE_FILES, "model", choices, progress)


def find_adapter(name, progress):
    """Place of an adapter given by folder or hub id. Raises ModelError."""
    return _find(name, ADAPTER_FILES, "adapter", "an adapter's name, a folder or a hub id (owner/name)", progress)


def _find(name, patterns, kind, choices, progress):
    text = os.fspath(name)
    folder = Path(text).expanduser()
    if folder.is_dir():
        return Place(folder.resolve(), text)
    if folder.exists():
        raise ModelError(f'The {kind} "{text}" is a file; give the folder that holds it.')
    if HUB_ID.fullmatch(text):
        return _fetch(text, patterns, kind, progress)
    raise ModelError(f'There is no {kind} "{text}"; give {choices}.')


def _fetch(repository, patterns, kind, progress):
    """Place of a hub repository's files, downloaded when they are not in the hub's cache."""
    from huggingface_hub import errors, snapshot_download

    progress(f"Fetching {repository}", 0, None)
    try:
        # Root files only: repositories also keep other formats of the same weights in folders.
        folder = snapshot_download(
            repository, allow_patterns=list(patterns), ignore_patterns=["*/*", "consolidated*"]
        )
    except errors.GatedRepoError as error:
        raise ModelError(
            f'The {kind} "{repository}" is gated: accept its terms at https://huggingface.co/{repository}, '
            "log in with `hf auth login` and start again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f'There is no folder "{repository}" here and no public repository of that name on the hub; '
            "check the spelling, or log in with `hf auth login` when it is private."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f'The {kind} "{repository}" is not on this machine and the hub cannot be reached; '
            "check the network connection (and HF_HUB_OFFLINE), or give a folder."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f'The {kind} "{repository}" could not be fetched ({first_line(error)}); try again or give a folder.'
        ) from error
    return Place(Path(folder), repository, Path(folder).name)


def first_line(error, limit=300):
    """An error's first line of text, without its final full stop, for use inside a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:limit].rstrip(".")
