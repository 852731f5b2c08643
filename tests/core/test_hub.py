"""Downloads: pinned to a commit, named or the first that came, and what arrives is what the hub has under it."""

import hashlib
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deltamem.core import AdapterError, resolve_adapter
from deltamem.core.hub import HUB_ID, fetch
from deltamem.runtime.presets import PRESETS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch, hub_home):
    """Files of the hub by name; a download lays them into a cache as the hub's client does."""
    files, asked = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}, []

    def download(repository, revision=None, **_):
        asked.append((repository, revision))
        folder = tmp_path / "snapshots" / COMMIT
        (tmp_path / "blobs").mkdir(exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            large = name.endswith(".safetensors")
            blob = tmp_path / "blobs" / (hashlib.sha256(data).hexdigest() if large else git_hash(data))
            blob.write_bytes(damage.get(name, data))
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(blob)
        return str(folder)

    damage = {}
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return damage, asked, files


def test_a_commit_is_asked_for_and_got(hub):
    assert fetch(f"owner/name@{COMMIT}", ["*"]).name == COMMIT
    assert hub[1] == [("owner/name", COMMIT)]
    with pytest.raises(ValueError, match="gave the commit 0123456789ab for ffff"):
        fetch(f"owner/name@{'f' * 40}", ["*"])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_what_was_damaged_on_its_way_is_refused_and_fetched_again(hub, name):
    hub[0][name] = b"something else"
    with pytest.raises(ValueError, match=f"{name} was damaged on its way"):
        fetch("owner/name", ["*"])
    with pytest.raises(AdapterError, match="cannot fetch adapter owner/name .*damaged on its way"):
        resolve_adapter("owner/name")
    hub[0].clear()
    assert sorted(path.name for path in fetch("owner/name", ["*"]).iterdir()) == ["config.json", "model.safetensors"]


class Hub(BaseHTTPRequestHandler):
    """One repository as the hub serves it: its commits, the last one "main", and the files of each."""

    commits: dict[str, dict[str, bytes]] = {}

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        *_, kind, revision = parts = self.path.partition("?")[0].split("/")
        if parts[:5] == ["", "api", "models", "owner", "name"]:
            commit = next(reversed(self.commits)) if revision == "main" else revision
            files = [
                {"type": "file", "rfilename": name, "path": name, "size": len(data), "oid": git_hash(data)}
                for name, data in self.commits[commit].items()
            ]
            answer = files if kind == "tree" else {"id": "owner/name", "sha": commit, "siblings": files}
            return self._send({}, json.dumps(answer).encode(), body)
        if parts[1] == "api":  # what else the client asks of the real hub
            return self.send_error(404)
        revision, name = parts[-2:]
        data = self.commits[revision][name]
        self._send({"ETag": f'"{git_hash(data)}"', "X-Repo-Commit": revision}, data, body)

    def _send(self, headers, data, body):
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def served(hub_home, monkeypatch):
    """fetch(name) from a hub on this machine: commit and file's text, or the error. All that it knows is on disk."""
    Hub.commits = {"a" * 40: {"config.json": b"first"}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "ENDPOINT": address,
        "HUGGINGFACE_CO_URL_TEMPLATE": address + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(hub_home / "cache"),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)

    def start(name="owner/name"):
        try:
            folder = fetch(name, ["*"])
        except ValueError as error:
            return str(error)
        return f"{folder.name[0]} {(folder / 'config.json').read_text()}"

    yield start
    server.shutdown()
    server.server_close()


def test_later_starts_take_what_came_first(served, hub_home):
    assert served() == "a first"
    Hub.commits["b" * 40] = {"config.json": b"second"}
    assert served() == "a first"
    assert served(f"owner/name@{'b' * 40}") == "b second"  # when told so, and for this time
    assert served() == "a first"
    shutil.rmtree(hub_home / "cache")  # the cache; the record lies beside it
    assert served() == "a first"
    shutil.rmtree(hub_home / "cache")
    Hub.commits["a" * 40] = {"config.json": b"forged"}
    refusal = "config.json is not what it was when owner/name was first fetched; name a commit"
    assert served().startswith(refusal)
    assert served().startswith(refusal)  # now that it lies in the cache, too


def test_a_damaged_record_is_named(hub, hub_home):
    for text in ["{", "[]", "7", '{"a/b": 1}', '{"a/b": {"commit": "x", "files": {}}}', '{"a/b": {}}', "[" * 100_000]:
        (hub_home / "deltamem-first-seen.json").write_text(text)
        with pytest.raises(ValueError, match="deltamem-first-seen.json, is damaged; remove it"):
            fetch("owner/name", ["*"])


def test_files_asked_for_later_join_the_record(hub, hub_home):
    hub[2]["more.json"] = hub[2].pop("config.json")
    fetch("owner/name", ["*"])
    hub[2]["config.json"] = b"{}"
    fetch("owner/name", ["*"])
    record = json.loads((hub_home / "deltamem-first-seen.json").read_text())
    assert record["owner/name"]["commit"] == COMMIT
    assert sorted(record["owner/name"]["files"]) == ["config.json", "model.safetensors", "more.json"]
    assert hub[1] == [("owner/name", None), ("owner/name", COMMIT)]


@pytest.mark.parametrize("name", ["a/b@main", "a/b@0123", "a/b@", f"a/b@{'0' * 41}", "a/../b", "/a/b", "a/b/c", "a//b"])
def test_only_whole_commits_pin(name):
    assert not HUB_ID.fullmatch(name)


def test_backbones_of_presets_are_pinned():
    """The published adapter is not: the first download decides."""
    for preset in PRESETS.values():
        assert preset.base is None or HUB_ID.fullmatch(preset.base)["commit"]
        for place in preset.adapters.values():
            assert isinstance(place, Path) or HUB_ID.fullmatch(place)
