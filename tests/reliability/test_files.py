"""Samples of what the commands beside this file count in full: damaged files, and saves that are killed."""

import os
import signal

import pytest

from tests.reliability.files import Live, damage, subjects
from tests.reliability.kill import Saved, SavedPage, kills, save_in_a_process
from tests.reliability.subjects import make_session

KINDS = ("session", "adapter, safetensors", "adapter, configuration", "adapter, published .pt", "page")


@pytest.fixture(scope="module")
def broken(place, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    os.symlink(place / "adapter", folder / "adapter")
    return subjects(model, folder), Live(model)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_harmless(broken, kind):
    found, live = broken
    subject = found[kind]
    outcomes = damage(subject, live, every=1 + len(subject.data) // 60, mutations=120, seed=7)
    # What means the same as before is a blank in the configuration, or a time stamp in a ZIP.
    assert outcomes["truncations"]["unchanged"] <= (kind == "adapter, configuration")
    assert outcomes["mutations"]["refused"] > 100
    if kind in KINDS[:2]:
        assert not outcomes["mutations"]["unchanged"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes of its own")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", [Saved, SavedPage])
def test_a_killed_save_leaves_the_old_file_or_the_new_one(model, tmp_path, kind):
    found = kills(kind(model, tmp_path, big=20), times=15)
    assert found["old"] + found["new"] == 15  # a file that is neither cannot be read and raises


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes of its own")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(("call", "after", "turns"), [("fsync", False, 1), ("replace", False, 1), ("replace", True, 2)])
def test_a_save_killed_at_its_turning_points(model, tmp_path, monkeypatch, call, after, turns):
    saved = Saved(model, tmp_path, big=1)
    saved.save(0)
    real = getattr(os, call)

    def deadly(*args):
        if after:
            real(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, deadly)
        save_in_a_process(saved)
    assert saved.read() == turns


def test_leftovers_of_killed_saves_are_removed_after_a_day(model, tmp_path):
    path = tmp_path / "s.safetensors"
    fresh, old, other = (
        tmp_path / name for name in (f".{path.name}.a.partial", f".{path.name}.b.partial", ".x.partial")
    )
    for left in (fresh, old, other):
        left.write_bytes(b"half")
    for left in (old, other):
        os.utime(left, (0, 0))
    make_session(model).save(path)
    assert {left.name for left in tmp_path.iterdir()} == {path.name, fresh.name, other.name}
