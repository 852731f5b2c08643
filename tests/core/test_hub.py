"""Downloads: pinned to a commit, and what arrives is what the hub has under it."""

import hashlib
from pathlib import Path

import pytest

from deltamem.core import AdapterError, resolve_adapter
from deltamem.core.hub import HUB_ID, fetch
from deltamem.runtime.presets import PRESETS

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
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
    return damage, asked


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


@pytest.mark.parametrize("name", ["a/b@main", "a/b@0123", "a/b@", f"a/b@{'0' * 41}", "a/../b", "/a/b", "a/b/c", "a//b"])
def test_only_whole_commits_pin(name):
    assert not HUB_ID.fullmatch(name)


def test_backbones_of_presets_are_pinned():
    """The published adapter is not: its tensors are checked one by one, and the page shows the commit that was got."""
    for preset in PRESETS.values():
        assert preset.base is None or HUB_ID.fullmatch(preset.base)["commit"]
        for place in preset.adapters.values():
            assert isinstance(place, Path) or HUB_ID.fullmatch(place)
