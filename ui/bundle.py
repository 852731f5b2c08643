"""A page in one file: a ZIP that holds each column's session file and what the columns showed.

The session files are the library's own, checked by it; the ZIP is read with fixed names and bounded sizes.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from deltamem.compare.arms import PRESETS, Arm, make_arm
from deltamem.compare.errors import ArmError
from deltamem.quoting import quoted
from deltamem.runtime import Session

from .history import ABSENT
from .record import REMEDY, BundleError, check, content, steps_of
from .talk import said
from .workspace import START, Column, Turn, Workspace

PAGE = "page.json"
MAX_PAGE_BYTES = 20 * 1024 * 1024
MAX_SESSION_BYTES = 256 * 1024 * 1024
MAX_PARTS = 100
# What reading a damaged ZIP raises: names that are no UTF-8 and headers that are cut short come as the last two.
DAMAGE = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error)


def save_page(workspace: Workspace, path: Path) -> None:
    """Write the page to `path`; a file that was there stays whole until the new one is."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "page.zip"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as bundle:
            for number, column in enumerate(workspace.arms.values()):
                column.real.save(Path(folder) / _name(number))
                bundle.write(Path(folder) / _name(number), _name(number))
            bundle.writestr(PAGE, json.dumps(content(workspace)))
        os.replace(draft, path)


def load_page(workspace: Workspace, path: Path) -> list[str]:
    """Replace the page's columns by saved ones; returns sentences on what could not be restored.

    Also reads a single session file, such as the terminal's: it gets a column, and those beside it start with its
    history. Raises BundleError or SessionFileError; the page is then untouched.
    """
    if not zipfile.is_zipfile(path):
        return _load_single(workspace, path)
    with tempfile.TemporaryDirectory() as folder, _open(path) as bundle:
        page = check(_read(bundle, PAGE, MAX_PAGE_BYTES))
        columns = {}
        for number, saved in enumerate(page["columns"]):
            arm = Arm(**saved["arm"])
            _extract(bundle, _name(number), Path(folder), MAX_SESSION_BYTES)
            session = Session.load(workspace.model, Path(folder) / _name(number))
            try:
                empty = workspace.new_column(arm).session
            except ArmError as error:
                raise BundleError(f"A column of the file cannot be shown here: {error}") from None
            if not _belongs(session, empty):
                raise BundleError(f"The session {_name(number)} in the file is not one of the column {arm.title}.")
            columns[arm.key] = Column(arm, session, saved["chat"], session.stats()["last"], saved["failure"])
            columns[arm.key].done = saved["done"]
    read = [column.session.history for column in columns.values() if column.done == len(page["steps"])]
    steps = steps_of(page, read[0] if read else [])
    turns = [step for step in steps if isinstance(step, Turn)]
    for key, column in columns.items():
        kept = sum(key in turn.kept for turn in turns)
        if len(column.session.messages) != 2 * kept or len(column.chat) != 2 * len(turns):
            raise BundleError(f"The file's parts do not belong together (its {key} session has other turns): {REMEDY}.")
    _adopt(workspace, columns, steps)
    return []


def _load_single(workspace: Workspace, path: Path) -> list[str]:
    session = Session.load(workspace.model, path)
    arm = make_arm(
        session.memory,
        session.context,
        recent_turns=session.recent_turns,
        adapter=session.adapter if session.memory and session.adapter != workspace.model.adapter_name else None,
        strength=session.strength if session.memory else 1.0,
    )
    arm = next((known for known in PRESETS.values() if replace(arm, key=known.key, title=known.title) == known), arm)
    beside = [key for key in START if key != arm.key][:1] if arm.memory else [START[1]]
    told = session.messages
    turns = [Turn(message["content"], {arm.key}) for message in told if message["role"] == "user"]
    steps = [*steps_of({"steps": [{"history": len(session.history)}], "questions": []}, session.history), *turns]
    columns = {}
    for key in beside:
        column = workspace.new_column(PRESETS[key])
        if session.history:
            column.session.preload(session.history)
        column.chat = [part for turn in turns for part in (said("user", turn.question), said("assistant", ABSENT))]
        columns[key] = column
    columns[arm.key] = Column(arm, session, told, session.stats()["last"])
    for column in columns.values():
        column.done = len(steps)
    _adopt(workspace, columns, steps)
    return [
        f"The file holds no answers but those of “{arm.title}”: the other column has none for these questions."
    ] * bool(turns)


def _adopt(workspace: Workspace, columns: dict[str, Column], steps: list) -> None:
    workspace.known |= {key: column.arm for key, column in columns.items() if key not in workspace.known}
    order = list(workspace.known)
    workspace.arms = {key: columns[key] for key in sorted(columns, key=order.index)}
    workspace.shelf, workspace.steps, workspace.failed = {}, steps, None
    histories = workspace.histories
    workspace.transcript = histories[-1] if histories else None


def _belongs(session: Session, empty: Session) -> bool:
    """Whether a loaded session has the settings of a column's arm."""
    names = ("memory", "context", "adapter", "recent_turns", "strength", "passages")
    found, wanted = session.stats(), empty.stats()
    return all(found.get(name) == wanted.get(name) for name in names)


def _open(path: Path) -> zipfile.ZipFile:
    """The ZIP at `path`; only its end was looked at before, which any file can have."""
    try:
        bundle = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise BundleError(f"The file is damaged ({quoted(str(error))}): {REMEDY}.") from None
    if len(bundle.filelist) > MAX_PARTS or any(part.compress_type != zipfile.ZIP_STORED for part in bundle.filelist):
        bundle.close()
        raise BundleError(f"The file is compressed, or has more than {MAX_PARTS} parts: {REMEDY}.")
    return bundle


def _read(bundle: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        if bundle.getinfo(name).file_size > limit:
            raise BundleError(f"The part {name} of the file is larger than {limit >> 20} MB: {REMEDY}.")
        with bundle.open(name) as part:
            return part.read(limit)
    except KeyError:
        raise BundleError(f"The file has no {name} inside: {REMEDY}.") from None
    except DAMAGE as error:
        raise BundleError(f"The file is damaged ({quoted(str(error))}): {REMEDY}.") from None


def _extract(bundle: zipfile.ZipFile, name: str, folder: Path, limit: int) -> None:
    (folder / name).write_bytes(_read(bundle, name, limit))


def _name(number: int) -> str:
    return f"column-{number + 1}.safetensors"
