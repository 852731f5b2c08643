"""What of Gradio's server the page needs, and a refusal for all the rest.

Gradio serves some sixty routes. Among what a page like this never uses are routes that fetch any address for anybody
(`file=http://…`, `proxy=`) and a file in an event's data that is named by an address, which the server would download.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .registry import LIMIT

MAX_UPLOAD = 256 * 2**20  # bytes of one file, a session's at most
MAX_KEPT = 4 * 2**30  # bytes of all files that wait to be read or fetched
BROKEN_S = 120  # seconds without a further byte after which an upload is broken
MAX_JSON = 8 * 2**20  # bytes of an event's data: texts and numbers
UPLOAD = "/gradio_api/upload"
READ = re.compile(
    r"/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|logout|login)?/?"
    r"|/(assets|static|svelte)/.+|/pwa_icon(/\w+)?"
    r"|/gradio_api/(theme\.css|info|user|token|app_id|login_check|startup-events|upload_progress|queue/(data|status))/?"
    r"|/gradio_api/(heartbeat/\w+|file=.+)"
)
WRITE = re.compile(r"/login/?|/gradio_api/(upload|cancel|reset/?|queue/join)")
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # two letters before the colon: C:\ is a drive


def network_options(folder: Path | None = None) -> dict:
    """What `launch()` needs so that the page offers itself and nothing else.

    folder: where uploads are written, when it belongs to this page alone: it is then kept tidy and bounded.
    """
    return {
        "app_kwargs": {"middleware": [Middleware(Guard, folder=folder)]},
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": 2 * LIMIT,
        "run_history": False,
        "enable_monitoring": False,
        "allowed_paths": [],
        "footer_links": [],
        "ssr_mode": False,
    }


class Guard:
    """ASGI middleware: no unknown route, no boundless body, no file named by an address, nothing from other sites."""

    def __init__(self, app: ASGIApp, folder: Path | None = None):
        self.app, self.folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                receive = await self._checked(scope, receive)
            except HTTPException as refusal:
                await PlainTextResponse(refusal.detail, refusal.status_code)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        if not is_offered(scope["method"], scope["path"]):
            raise HTTPException(404, "The page offers nothing under this address.")
        if scope["method"] != "POST":
            return receive
        if (b"sec-fetch-site", b"cross-site") in scope["headers"]:  # browsers say so, and no script can change it
            raise HTTPException(403, "Another site's page asked for this: open the playground itself.")
        if scope["path"].rstrip("/") == UPLOAD:
            if self.folder and await run_in_threadpool(tidy, self.folder) > MAX_KEPT:
                raise HTTPException(503, "There is no room for uploads just now: try again in an hour.")
            return _bounded(receive, MAX_UPLOAD + 2**20)
        body = await _read(_bounded(receive, MAX_JSON))
        if scope["path"].startswith("/gradio_api/") and names_an_address(body):
            raise HTTPException(400, "A file was named by an address: upload it instead.")
        return _replay(body, receive)


def is_offered(method: str, path: str) -> bool:
    """Whether the page needs this route."""
    if method in ("GET", "HEAD"):
        found = READ.fullmatch(path)
        _, named, file = path.partition("/gradio_api/file=")
        return bool(found) and not (named and ADDRESS.match(file)) and not file.startswith("//")
    return method == "OPTIONS" or (method == "POST" and bool(WRITE.fullmatch(path)))


def names_an_address(body: bytes) -> bool:
    """Whether JSON holds an object whose path is an address; what is no JSON is left to the route."""
    try:
        found = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while found:
        value = found.pop()
        inside: Iterable = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        found.extend(inside)
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and (ADDRESS.match(path) or path.startswith(("//", "\\\\"))):
                return True
    return False


def tidy(folder: Path) -> int:
    """Remove what broken uploads left in the folder, and return the bytes that remain in and below it."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                found = path.stat()
                # An upload is written to the folder itself and moved into one of its own when it is whole.
                if path.parent == folder and time.time() - found.st_mtime > BROKEN_S:
                    path.unlink()
                else:
                    size += found.st_size
            except OSError:  # it was moved meanwhile
                continue
    return size


def _bounded(receive: Receive, limit: int) -> Receive:
    """`receive` that raises as soon as a body grows over the limit."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise HTTPException(413, f"The request is larger than the {limit >> 20} MB that are taken.")
        return message

    return bounded


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
