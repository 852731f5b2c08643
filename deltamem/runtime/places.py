"""From a name to a folder on this machine: presets, folders, and repositories on the Hugging Face hub."""

import os
from dataclasses import dataclass
from pathlib import Path

from deltamem.core.config import HFDeltaMemConfig
from deltamem.core.files import local_path, resolve_adapter
from deltamem.core.hub import HUB_ID, fetch
from deltamem.runtime.demo import demo_folder
from deltamem.runtime.errors import ModelError
from deltamem.runtime.presets import PRESETS

BASE_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "*.txt")


@dataclass(frozen=True)
class Place:
    """folder: where the files lie; source: the hub id or folder asked for; commit: resolved hub commit or None."""

    folder: Path
    source: str
    commit: str | None = None


def find_base(name, progress):
    """Place of a backbone given by preset name, hub id or folder. Raises ModelError."""
    text = os.fspath(name)
    if text in PRESETS:
        base = PRESETS[text].base
        return _fetch(base, progress) if base else Place(demo_folder(progress), PRESETS[text].title)
    folder = local_path(text)
    if os.path.isdir(folder):
        return Place(Path(folder).resolve(), text)
    if os.path.exists(folder):
        raise ModelError(f'The model "{text}" is a file; give the folder that holds it.')
    if HUB_ID.fullmatch(text):
        return _fetch(text, progress)
    raise ModelError(
        f'There is no model "{text}"; give a preset ({", ".join(PRESETS)}), a folder or a hub id (owner/name[@commit]).'
    )


def find_adapter(name):
    """Place of an adapter given by folder or hub id. Raises AdapterError."""
    folder = resolve_adapter(name)
    text = os.fspath(name)
    return (
        Place(folder, text) if os.path.isdir(local_path(text)) else Place(folder, text.partition("@")[0], folder.name)
    )


def find_adapters(name, adapter):
    """({label or None: folder or hub id}, default label) for what `load_model` was asked; None: label by variant.

    Raises ModelError when it can be seen without a look at the hub that there is no such adapter.
    """
    if adapter is None:
        return {}, None
    preset = PRESETS.get(os.fspath(name))
    known = preset.available_adapters() if preset else {}
    if adapter == "auto":
        return known, next(iter(known), None)
    text = os.fspath(adapter)
    label = next((label for label in (preset.adapters if preset else ()) if label.lower() == text.lower()), None)
    if label in known:
        return known, label
    if os.path.isdir(local_path(text)) or HUB_ID.fullmatch(text):
        return {None: text}, None
    if label is not None:
        raise ModelError(
            f"The bundled adapter {label} is not at {preset.adapters[label]}; take it from the project's "
            "repository, or give a folder or a hub id (owner/name[@commit])."
        )
    names = f"a name ({', '.join(known)}), " if known else ""
    raise ModelError(f'There is no adapter "{text}"; give {names}a folder or a hub id (owner/name[@commit]).')


def _fetch(repository, progress):
    """Place of a hub repository's model files, downloaded when they are not in the hub's cache."""
    from huggingface_hub import errors

    progress(f"Fetching {repository}", 0, None)
    try:
        # Root files only: repositories also keep other formats of the same weights in folders.
        folder = fetch(repository, list(BASE_FILES), ["*/*", "consolidated*"])
    except errors.GatedRepoError as error:
        raise ModelError(
            f'The model "{repository}" is gated: accept its terms at https://huggingface.co/{repository}, '
            "log in with `hf auth login` and start again."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f'There is no folder "{repository}" here and no public repository of that name on the hub; '
            "check the spelling, or log in with `hf auth login` when it is private."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f'The model "{repository}" is not on this machine and the hub cannot be reached; '
            "check the network connection (and HF_HUB_OFFLINE), or give a folder."
        ) from error
    except Exception as error:  # disk, proxy, HTTP and protocol errors: each layer of the client has its own
        raise ModelError(
            f'The model "{repository}" could not be fetched ({first_line(error)}); try again or give a folder.'
        ) from error
    return Place(folder, repository.partition("@")[0], folder.name)


def first_line(error, limit=300):
    """An error's first line of text, without its final full stop, for use inside a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:limit].rstrip(".")


def add_adapters(model, base, wanted):
    """Labels in model.adapters of the adapters `wanted` (labels, folders or hub ids); its default one without any.

    A folder is labelled by its variant, and by its own name, or all its path, too where that label is taken.
    """
    if not wanted:
        return [model.adapter_name] if model.adapter_name else []
    found = [(given, *find_adapters(base, given)) for given in wanted]
    asked = {label for _, _, label in found}
    labels = []
    for given, known, label in found:
        place = known[label] if label else resolve_adapter(given)
        if label is None:
            variant = HFDeltaMemConfig.load(place).variant
            longer = [variant, f"{variant}-{Path(given).name}", f"{variant}-{given}"]
            label = next((free for free in longer if free not in {*model.adapters, *asked}), longer[-1])
        model.add_adapter(label, place)
        labels.append(label)
    return labels
