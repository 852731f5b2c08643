"""Repositories of the Hugging Face hub, by name or pinned to a commit, and a check of what was fetched.

Without a commit the first download decides: what came is written down, and later calls take that and nothing else.
"""

import hashlib
import json
import re
import time
from contextlib import suppress
from pathlib import Path

from .atomic import write_atomically

# owner/name, or owner/name@commit: the commit's name is a hash of all that it holds.
HUB_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<commit>[0-9a-f]{40}))?")


def fetch(name: str, allow: list[str], ignore: list[str] | None = None) -> Path:
    """The folder of a repository's files in the hub's cache, its name the commit; what is missing is downloaded.

    Raises ValueError when a download is not what the hub has under that commit, or not what it was at first, and
    whatever the hub's client raises.
    """
    from huggingface_hub import snapshot_download

    found, begin = HUB_ID.fullmatch(name), time.time()
    repository = found["repository"]
    first = None if found["commit"] else _first_seen().get(repository)
    commit = found["commit"] or (first["commit"] if first else None)
    folder = Path(snapshot_download(repository, revision=commit, allow_patterns=allow, ignore_patterns=ignore or []))
    if commit and folder.name != commit:
        raise ValueError(f"the hub gave the commit {folder.name[:12]} for {commit[:12]}")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        blob = path.resolve()
        if path.is_symlink() and blob.stat().st_mtime >= begin - 2:
            _check(path.name, blob)
    if not found["commit"]:
        _compare(repository, folder, files, first)
    return folder


def record_file() -> Path:
    """Where it is written down what repositories held when they were first fetched without a commit."""
    from huggingface_hub import constants

    return Path(constants.HF_HOME) / "deltamem-first-seen.json"


def _first_seen() -> dict:
    """{repository: {"commit", "files": {name: hash}}}."""
    path = record_file()
    try:
        seen = json.loads(path.read_bytes())
        if all(HUB_ID.fullmatch(f"{name}@{one['commit']}") and dict(one["files"]) for name, one in seen.items()):
            return seen
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise ValueError(f"the record of first downloads, {path}, is damaged; remove it to trust what comes next")


def _compare(repository: str, folder: Path, files: list[Path], first: dict | None) -> None:
    """Hold the files against those that came first; write down those that are new."""
    now = {path.relative_to(folder).as_posix(): _hash(path) for path in files}
    known = first["files"] if first else {}
    for name, digest in now.items():
        if known.get(name, digest) != digest:
            raise ValueError(
                f"{name} is not what it was when {repository} was first fetched; name a commit ({repository}@commit) "
                f"to take it all the same"
            )
    if now.items() - known.items():
        seen = _first_seen() | {repository: {"commit": folder.name, "files": known | now}}
        with suppress(OSError):  # where nothing can be written, in a container say, no download can change a file
            write_atomically(record_file(), json.dumps(seen, indent=1, sort_keys=True).encode())


def _hash(path: Path) -> str:
    """A file's hash: its name in the hub's cache, which was checked when it came; where there are no links, sha256."""
    return path.resolve().name if path.is_symlink() else _digest(hashlib.sha256(), path)


def _check(name: str, blob: Path) -> None:
    """Compare a file in the hub's cache with its own name: the hash that the hub gave for it."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", blob.name):  # a file that git keeps itself
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return
    if _digest(digest, blob) != blob.name:
        blob.unlink()  # the next try downloads it again
        raise ValueError(f"{name} was damaged on its way: its hash is not the hub's")


def _digest(digest, path: Path) -> str:
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
