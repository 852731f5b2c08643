"""Files that are either the old or the new version, never half of one."""

import os
import secrets
import time
from pathlib import Path

PARTIAL = ".partial"  # how the names of unfinished files end
LEFT_S = 86_400  # seconds after which an unfinished file counts as left behind by a process that was killed


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write data to a temporary sibling, flush it to disk, and rename it over path. Raises OSError.

    Who may read the file is for the process's umask to say, as with any file that is made.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{PARTIAL}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    _drop_leftovers(path)


def sync_folder(folder: str | Path) -> None:
    """Make a rename inside the folder last through a power cut, where the system allows it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot sync folders
        pass
    finally:
        os.close(descriptor)


def _drop_leftovers(path: Path) -> None:
    """Remove what killed processes left of earlier writes of the same file."""
    for name in os.listdir(path.parent):
        if name.startswith(f".{path.name}.") and name.endswith(PARTIAL):
            left = path.parent / name
            try:
                if time.time() - left.stat().st_mtime > LEFT_S:
                    left.unlink()
            except OSError:  # another process was faster
                pass
