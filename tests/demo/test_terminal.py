"""The terminal chat as a real process: its script, its commands, its refusals."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deltamem.demo.chat import UNPRINTED, main

SCRIPT = Path(__file__).parents[2] / "deltamem" / "demo" / "run_chat_demo.sh"
READY = re.compile("Trying out the decoding step …\nReady to decode after [0-9.]+ s\\.\n")  # all that stderr is for


def environment(**settings):
    names = ("MODEL_PATH", "ADAPTER_DIR", "MODE", "PYTHONPATH")
    plain = {name: value for name, value in os.environ.items() if name not in names}
    return plain | {"PYTHON": sys.executable, "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1"} | settings


def chat(lines, *options, **settings):
    """Run the script with lines on its input, from another folder than the project's."""
    return subprocess.run(
        ["bash", str(SCRIPT), "--device", "cpu", *options],
        input=lines if isinstance(lines, bytes) else "\n".join([*lines, ""]).encode(),
        capture_output=True,
        env=environment(**{name: str(value) for name, value in settings.items()}),
        cwd="/",
        timeout=300,
    )


def test_a_conversation(tiny_model_folder, tiny_adapter_folder, tmp_path):
    saved = tmp_path / "new" / "folder"
    lines = ["/help", "Hello", f"/save_session {saved}", "/reset", "/stats", f"/load_session {saved}", "/stats"]
    run = chat(
        [*lines, "/exit", "not read any more"],
        "--max-new-tokens=8",
        MODEL_PATH=tiny_model_folder,
        ADAPTER_DIR=tiny_adapter_folder,
        MODE="delta",
    )
    assert run.returncode == 0 and READY.fullmatch(run.stderr.decode())
    out = run.stdout.decode("utf-8", "replace")
    assert "δ-mem MSW" in out and "/save_session <dir>" in out and "[8 tokens" in out
    assert (saved / "session.safetensors").is_file()
    after_reset, after_load = out.split("Everything is forgotten.")[1].split("Loaded 1 turn,")
    assert "turns: 0" in after_reset and "written tokens: 0" in after_reset
    assert "turns: 1" in after_load and "memory: yes" in after_load
    assert out.count("you>") == 8  # nothing after /exit


def test_wrong_input_gets_a_sentence(tiny_model_folder, tmp_path):
    (tmp_path / "file").write_text("")
    lines = b"/bogus\n/save_session\n/load_session /no/such\n/save_session " + os.fsencode(tmp_path / "file" / "x")
    lines += b"\n/load_session ~no-such-user/x\n/save_session ~no-such-user\0/x"
    lines += b"\n\n   \n\xff\xfe <|im_end|>\n"
    run = chat(lines, "--max-new-tokens=4", MODEL_PATH=tiny_model_folder, MODE="base")
    out = run.stdout.decode("utf-8", "replace")
    assert run.returncode == 0 and READY.fullmatch(run.stderr.decode())
    for words in ("no command /bogus", "Give a folder", "cannot be loaded", "choose another one", "Memory off"):
        assert words in out
    assert "cannot be made (embedded null byte)" in out and out.count("cannot be loaded") == 2
    assert "[4 tokens" in out
    assert "Traceback" not in out


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"MODE": "gamma"}, 'MODE is "gamma"; use base or delta.'),
        ({"MODEL_PATH": "/no/such/model"}, "There is no model"),
        ({"ADAPTER_DIR": "/no/such/adapter"}, "There is no adapter"),
        ({"ADAPTER_DIR": os.path.dirname(__file__)}, "delta_mem_config.json"),
        ({}, "without an adapter"),
    ],
)
def test_it_cannot_start(tiny_model_folder, settings, words, monkeypatch, capsys):
    for name, value in ({"MODEL_PATH": str(tiny_model_folder), "ADAPTER_DIR": "", "MODE": ""} | settings).items():
        monkeypatch.setenv(name, value)
    try:
        status = main(["--device=cpu"])
    except SystemExit as ended:
        status = ended.code
    out, error = capsys.readouterr()
    assert status in (1, 2) and out == ""
    assert words in error and error.count("\n") == 1


def test_a_failed_start_is_a_failed_process():
    run = chat([], MODEL_PATH="/no/such/model")
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.startswith(b"There is no model") and run.stderr.count(b"\n") == 1


def test_escape_sequences_do_not_reach_the_terminal():
    assert "\x1b[2Jé\n\t\r\x9b1m\x07".translate(UNPRINTED) == "[2Jé\n\t1m"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
def test_interrupting_an_answer(tiny_model_folder):
    process = subprocess.Popen(
        [sys.executable, "-m", "deltamem.demo", "--device=cpu", "--max-new-tokens=3500"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(MODEL_PATH=str(tiny_model_folder), MODE="base"),
        cwd=SCRIPT.parents[2],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a runner in the background ignores it
    )
    try:
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        begun = wait_for(process, b"you> ", more=5)  # the prompt, then some of the answer
        process.send_signal(signal.SIGINT)
        rest = wait_for(process, b"you> ")
        assert b"[stopped]" in rest and b"Traceback" not in begun + rest
        # At the prompt: a hint. A signal that comes just before the read begins is seen only with the next one.
        for _ in range(60):
            process.send_signal(signal.SIGINT)
            if select.select([process.stdout], [], [], 1)[0]:
                break
        wait_for(process, b"you> ")
        out, error = process.communicate(b"/stats\n/exit\n", timeout=60)
        assert process.returncode == 0 and READY.fullmatch(error.decode())
        assert b"turns: 1" in out and b"stop: cancelled" in out
    finally:
        process.kill()


def wait_for(process, mark, more=0):
    """Output up to a mark and `more` bytes after it."""
    seen, end = b"", time.monotonic() + 120
    while mark not in seen or len(seen.partition(mark)[2]) < more:
        assert time.monotonic() < end and process.poll() is None, seen
        if select.select([process.stdout], [], [], 1)[0]:
            seen += os.read(process.stdout.fileno(), 1)
    return seen


@pytest.mark.slow
def test_the_demo_model(demo_model):
    run = chat(["What is the capital of France?", "/exit"], "--mode=base")
    assert run.returncode == 0 and READY.fullmatch(run.stderr.decode())
    assert "The capital of France is Paris." in run.stdout.decode()
