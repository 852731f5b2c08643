"""A page in one file: a ZIP that holds each arm's session file and what the columns showed.

The session files are the library's own, checked by it; the ZIP is read with fixed names and bounded sizes.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from pathlib import Path

from deltamem.quoting import quoted
from deltamem.runtime import Session
from deltamem.transcripts import Transcript

from .workspace import Turn, Workspace

SUFFIX = ".zip"
PAGE = "page.json"
MAX_PAGE_BYTES = 20 * 1024 * 1024
MAX_SESSION_BYTES = 256 * 1024 * 1024
MAX_PARTS = 100
# What reading a damaged ZIP raises: names that are no UTF-8 and headers that are cut short come as the last two.
DAMAGE = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError, struct.error)
REMEDY = "choose a file that “Save session” of this page has written"


class BundleError(Exception):
    """A saved session that cannot be read. The text is one sentence for the user."""


def save_page(workspace: Workspace, path: Path) -> None:
    """Write the page to `path`; a file that was there stays whole until the new one is."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "page.zip"
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as bundle:
            for key, arm in workspace.arms.items():
                arm.session.save(Path(folder) / _name(key))
                bundle.write(Path(folder) / _name(key), _name(key))
            questions = workspace.histories[-1].questions if workspace.histories else []
            page = {
                "version": 1,
                "turns": [{"question": turn.question, "kept": sorted(turn.kept)} for turn in workspace.turns],
                "questions": questions,
            }
            bundle.writestr(PAGE, json.dumps(page))
        os.replace(draft, path)


def load_page(workspace: Workspace, path: Path) -> list[str]:
    """Replace the page's sessions and columns by a saved one; returns sentences on what could not be restored.

    Also reads a single session file with memory, such as the terminal's: the other columns then start empty.
    Raises BundleError or SessionFileError; the page is then untouched.
    """
    if not zipfile.is_zipfile(path):
        return _load_single(workspace, path)
    with tempfile.TemporaryDirectory() as folder, _open(path) as bundle:
        page = _page(bundle)
        sessions = {}
        for key, arm in workspace.arms.items():
            _extract(bundle, _name(key), Path(folder), MAX_SESSION_BYTES)
            session = Session.load(workspace.model, Path(folder) / _name(key))
            if (session.memory, session.context) != (arm.kind.memory, arm.kind.context):
                raise BundleError(f"The session {_name(key)} in the file is not one of the column {arm.kind.title}.")
            sessions[key] = session
    turns = [Turn(turn["question"], set(turn["kept"])) for turn in page["turns"]]
    chats = {key: _chat(session, key, turns) for key, session in sessions.items()}
    _adopt(workspace, sessions, turns, chats, page["questions"])
    return []


def _load_single(workspace: Workspace, path: Path) -> list[str]:
    session = Session.load(workspace.model, path)
    arm = workspace.memory
    if not session.memory:
        raise BundleError(f"The file holds a session without memory, which belongs in no column: {REMEDY}.")
    said = session.messages
    turns = [Turn(message["content"], {arm.kind.key}) for message in said if message["role"] == "user"]
    sessions = {key: workspace.new_session(one.kind) for key, one in workspace.arms.items() if one is not arm}
    for other in sessions.values():
        if session.history:
            other.preload(session.history)
    sessions[arm.kind.key] = session
    chats = {key: _chat(one, key, turns) for key, one in sessions.items()}
    _adopt(workspace, sessions, turns, chats, [])
    if not turns:
        return []
    return [f"The file holds the answers of {arm.kind.title} only: the other column has none for these questions."]


def _adopt(workspace, sessions, turns, chats, questions) -> None:
    workspace.forget_turns()
    for key, arm in workspace.arms.items():
        arm.session, arm.chat = sessions[key], chats[key]
        arm.stats = arm.session.stats()["last"]
    workspace.turns = turns
    workspace.adapter = workspace.memory.session.adapter
    history = workspace.memory.session.history
    workspace.histories = [Transcript(history, "history of the session", [], questions)] if history else []
    workspace.transcript = workspace.histories[0] if history else None


def _chat(session: Session, key: str, turns: list[Turn]) -> list[dict]:
    said = session.messages
    if len(said) != 2 * sum(key in turn.kept for turn in turns):
        raise BundleError(f"The file's parts do not belong together (its {key} session has other turns): {REMEDY}.")
    chat, rest = [], iter(said)
    for turn in turns:
        if key in turn.kept:
            chat += [next(rest), next(rest)]
        else:
            chat += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": ""}]
    return chat


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


def _page(bundle: zipfile.ZipFile) -> dict:
    try:
        page = json.loads(_read(bundle, PAGE, MAX_PAGE_BYTES))
        version = page["version"]
        turns, questions = page["turns"], page["questions"]
        sound = all(
            isinstance(turn["question"], str) and all(isinstance(key, str) for key in turn["kept"]) for turn in turns
        ) and all(isinstance(question, str) for question in questions)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"The file's {PAGE} is damaged: {REMEDY}.") from None
    if version != 1 or not sound:
        raise BundleError(f"The file's {PAGE} is of version {quoted(version, 20)}, this page reads 1: {REMEDY}.")
    return page


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


def _name(key: str) -> str:
    return f"{key}.safetensors"
