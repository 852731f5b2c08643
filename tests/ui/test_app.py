"""Starting the page: options, and one sentence when it cannot start."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

import app

ROOT = Path(app.__file__).parent


def test_defaults_stay_on_this_machine():
    options = app.parse([])
    assert options.host == "127.0.0.1"
    assert (options.base, options.adapter, options.share, options.auth) == ("demo", "auto", False, None)


def test_model_is_another_name_of_base():
    assert app.parse(["--model", "qwen3-4b"]).base == "qwen3-4b"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--share"], "--auth"),
        (["--host", "0.0.0.0"], "--auth"),
        (["--host", "::"], "--auth"),
        (["--host", "192.168.0.7"], "--auth"),
        (["--host", "my-machine"], "--auth"),
        (["--auth", "alone"], "USER:PASSWORD"),
        (["--auth", ":x"], "USER:PASSWORD"),
        (["--port", "99999"], "65535"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        app.parse(arguments)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_share_with_a_login_or_on_purpose():
    assert app.parse(["--share", "--auth", "me:secret"]).auth == "me:secret"
    assert app.parse(["--share", "--no-auth"]).share


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_hosts_of_this_machine_need_no_login(host):
    assert app.parse(["--host", host]).host == host
    assert app.parse(["--host", "0.0.0.0", "--no-auth"]).host == "0.0.0.0"
    assert app.parse(["--host", "0.0.0.0", "--auth", "me:secret"]).auth == "me:secret"


def test_a_space_answers_to_others_and_its_settings_say_to_whom(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/playground")
    options = app.parse([])
    assert options.host == "0.0.0.0" and options.auth is None


def test_a_gpu_is_lent_only_where_the_package_and_the_space_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)  # not installed
    assert app.gpu_lender() is None
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU="lent"))
    assert app.gpu_lender() is None
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert app.gpu_lender() == "lent"


def test_an_address_that_is_taken_or_wrong_is_one_sentence(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--port", str(port)]) == 1
        assert str(port) in capsys.readouterr().err
    assert app.main(["--host", "300.1.1.1", "--no-auth"]) == 1
    assert "choose another" in capsys.readouterr().err
    assert app.address_trouble("127.0.0.1", None) is None


def test_a_page_that_its_own_machine_cannot_reach_is_one_sentence(model, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("deltamem.runtime.load_model", lambda *_, **__: model)
    monkeypatch.setattr("gradio.networking.url_ok", lambda _: False)
    try:
        assert app.main([]) == 1
    finally:
        gr.close_all()
    assert "NO_PROXY" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there, folders cannot be held")
def test_files_that_a_killed_page_left_go_when_the_next_one_starts(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    left, living, young, other = (
        tmp_path / name for name in (f"{app.FILES}a", f"{app.FILES}b", f"{app.FILES}c", "mine")
    )
    for folder in (left, living, young, other):
        folder.mkdir()
        (folder / "said.txt").write_text("secret")
        if folder != young:
            os.utime(folder, (1, 1))
    (tmp_path / f"{app.FILES}link").symlink_to(other)
    held = app.hold(living)
    own = app.private_folder()
    os.environ.pop("GRADIO_TEMP_DIR")
    assert not left.exists() and all((folder / "said.txt").exists() for folder in (living, young, other))
    with pytest.raises(OSError):
        app.hold(own)  # this process does, until it ends
    os.close(held)


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    command = [sys.executable, "app.py", "--base", str(tmp_path / "nothing")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and "nothing" in lines[0]
    assert "Traceback" not in done.stderr


def test_a_model_without_an_adapter_is_one_sentence(tiny_model_folder, capsys):
    assert app.main(["--base", str(tiny_model_folder), "--adapter", "none", "--device", "cpu"]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "adapter" in said
