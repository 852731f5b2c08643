"""Repositories of the Hugging Face hub, by name or pinned to a commit, and a check of what was fetched."""

import hashlib
import re
import time
from pathlib import Path

# owner/name, or owner/name@commit: the commit's name is a hash of all that it holds.
HUB_ID = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<commit>[0-9a-f]{40}))?")


def fetch(name: str, allow: list[str], ignore: list[str] | None = None) -> Path:
    """The folder of a repository's files in the hub's cache, its name the commit; what is missing is downloaded.

    Raises ValueError when a download is not what the hub has under that commit, and whatever the hub's client raises.
    """
    from huggingface_hub import snapshot_download

    found, begin = HUB_ID.fullmatch(name), time.time()
    folder = Path(
        snapshot_download(
            found["repository"], revision=found["commit"], allow_patterns=allow, ignore_patterns=ignore or []
        )
    )
    if found["commit"] and folder.name != found["commit"]:
        raise ValueError(f"the hub gave the commit {folder.name[:12]} for {found['commit'][:12]}")
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        if path.is_symlink() and blob.is_file() and blob.stat().st_mtime >= begin - 2:
            _check(path.name, blob)
    return folder


def _check(name: str, blob: Path) -> None:
    """Compare a file in the hub's cache with its own name: the hash that the hub gave for it."""
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", blob.name):  # a file that git keeps itself
        digest = hashlib.sha1(f"blob {blob.stat().st_size}\0".encode(), usedforsecurity=False)
    else:
        return
    with blob.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    if digest.hexdigest() != blob.name:
        blob.unlink()  # the next try downloads it again
        raise ValueError(f"{name} was damaged on its way: its hash is not the hub's")
