"""python -m deltamem.compare, on the tiny model: what it prints and writes, exit codes, and Ctrl-C."""

import dataclasses
import json
import signal
import zipfile

import pytest

from deltamem.compare import __main__ as entry
from deltamem.compare import command, program
from deltamem.compare.arms import PRESETS
from deltamem.runtime import load_model

HISTORY = "User: My dog is called Rex.\nAssistant: Hello Rex!\nUser: He likes the sea.\nAssistant: Fine."
PROBES = "question,answer\nWho is Rex?,dog\nWhat does he like?,the sea\nHow?,fine\n"


@pytest.fixture
def files(tmp_path, monkeypatch, tiny_model_folder, adapter_folders):
    """Files named as in the README, in the current folder."""
    (tmp_path / "chat.txt").write_text(HISTORY)
    (tmp_path / "other.txt").write_text("User: The memory keeps what the user said.\nAssistant: Okay.")
    (tmp_path / "probes.csv").write_text(PROBES)
    monkeypatch.chdir(tmp_path)
    return ["--model", str(tiny_model_folder), "--adapter", str(adapter_folders["TSW"]), "--device", "cpu"]


def test_a_whole_comparison(files, tmp_path, capsys, adapter_folders):
    files.insert(4, str(adapter_folders["SSW"]))
    code = program.run(
        "--history chat.txt --probes probes.csv --arms base,memory base-full memory:adapter=SSW --controls zero,other "
        "layers-off=0-1 --other other.txt --report out.zip --max-new-tokens 4 --seed 3 --ask Who?".split()
        + files
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "3 of 3 probes" in out and "| δ-mem, state only, zero state |" in out and "Report: out.zip" in out
    assert "Who?\n  Base: " in out
    with zipfile.ZipFile(tmp_path / "out.zip") as bundle:
        record = json.loads(bundle.read("out/report.json"))
    keys = [arm["key"] for arm in record["arms"]]
    assert keys == [
        "base", "memory", "base-full", "memory-SSW", "memory-zero", "memory-SSW-zero", "memory-other",
        "memory-SSW-other", "memory-layers-off-0-1", "memory-SSW-layers-off-0-1",
    ]  # fmt: skip
    assert record["history"]["name"] == "chat.txt" and record["history"]["other"] == "other.txt"
    assert record["seed"] == 3 and record["command"].startswith("python -m deltamem.compare --history chat.txt")
    assert record["arms"][1]["turns"][0]["question"] == "Who?" and record["probes"]["complete"]


def test_planted_facts_need_no_files(files, tmp_path, capsys):
    arguments = "--plant 2,1,1 --arms base memory --max-new-tokens 3 --report folder".split()
    assert program.run(arguments + files) == 0
    record = json.loads((tmp_path / "folder" / "report.json").read_text())
    assert record["history"]["messages"] == 8 and record["probes"]["asked"] == 2
    assert "planted facts (2,1,1, seed 0)" in record["history"]["name"]


def test_without_a_report_the_answers_are_printed(files, capsys):
    assert program.run("--history chat.txt --probes probes.csv --arms base --max-new-tokens 2".split() + files) == 0
    out = capsys.readouterr().out
    assert "\n1. Who is Rex? (dog)\n  Base: ✗ " in out and "\n3. How? (fine)\n  Base: ✗ " in out


@pytest.mark.parametrize("after", [0, 1])
def test_ctrl_c_keeps_what_was_finished(files, tmp_path, capsys, monkeypatch, after):
    real = program.run_probes

    def interrupted(sessions, probes, titles, progress, should_stop, **options):
        def press(done, total):
            progress(done, total)
            if done == after:
                signal.raise_signal(signal.SIGINT)

        if not after:
            signal.raise_signal(signal.SIGINT)
        return real(sessions, probes, titles, press, should_stop, **options)

    monkeypatch.setattr(program, "run_probes", interrupted)
    before = signal.getsignal(signal.SIGINT)
    arguments = "--history chat.txt --probes probes.csv --arms base memory --ask Who? --report out --max-new-tokens 3"
    assert program.run(arguments.split() + files) == 130
    out, err = capsys.readouterr()
    assert f"{after} of 3 probes" in out and "Stopped: what was finished is above." in err and "Who?" not in out
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert record["probes"]["asked"] == after and not record["probes"]["complete"]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_anything_and_twice(files, monkeypatch, capsys):
    def leave(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "load_model", leave)
    assert entry.main("--history chat.txt --ask Who?".split() + files) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Stopped."
    with pytest.raises(KeyboardInterrupt), program._stoppable() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_keeps_what_was_said(files, tmp_path, capsys, monkeypatch):
    real = program.ask_together

    def interrupted(sessions, question, check, **sampling):
        def press():
            signal.raise_signal(signal.SIGINT)
            check()

        return real(sessions, question, press, **sampling)

    monkeypatch.setattr(program, "ask_together", interrupted)
    assert program.run("--history chat.txt --ask Who? --ask Why? --report out --arms memory".split() + files) == 130
    out, err = capsys.readouterr()
    assert out.count("Who?\n  δ-mem, state only: ") == 1 and "Why?" not in out and "Stopped: what was" in err
    assert json.loads((tmp_path / "out" / "report.json").read_text())["arms"][0]["turns"][0]["question"] == "Who?"


def test_an_arm_without_room_sits_out(files, tmp_path, capsys, monkeypatch):
    (tmp_path / "chat.txt").write_text("User: My dog is called Rex. " * 40)
    monkeypatch.setattr(
        program,
        "load_model",
        lambda *places, **options: dataclasses.replace(load_model(*places, **options), max_context=64),
    )
    arguments = (
        "--history chat.txt --probes probes.csv --arms base base-full memory-full --report out --ask Who?".split()
    )
    assert program.run([*arguments, "--max-new-tokens", "2", *files]) == 0
    out, err = capsys.readouterr()
    assert err.count("δ-mem + full history sits out: The prompt has") == 1 and "Base + full history |" not in out
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [arm["key"] for arm in record["arms"]] == ["base"]
    assert list(record["refused"]) == ["Base + full history", "δ-mem + full history"]
    for page in ("report.html", "report.md"):
        assert (tmp_path / "out" / page).read_text().count("took no part:") == 2
    assert program.run(["--history", "chat.txt", "--ask", "Who?", "--arms", "base-full", *files]) == 1
    assert "error: The prompt has" in capsys.readouterr().err


def test_a_failed_check_is_loud_and_another_exit_code(files, monkeypatch, capsys):
    def wrong(model, label):
        findings = program.check_turn(program.start_sessions(model, [PRESETS["memory"]])["memory"])
        findings.add("Chunks write like one pass", "they do not", False)
        return findings

    monkeypatch.setattr(program, "check_model", wrong)
    assert program.run("--history chat.txt --ask Who? --max-new-tokens 2".split() + files) == 3
    assert "integrity: Chunks write like one pass: they do not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--history none.txt --ask Who?", "cannot be opened"),
        ("--history chat.txt --probes none.csv", "none.csv"),
        ("--history chat.txt --probes chat.txt", "Row 1"),
        ("--history chat.txt --ask Who? --arms delta", "no arm 'delta'"),
        ("--history chat.txt --ask Who? --arms base --controls zero", "Controls need an arm with memory"),
        ("--history chat.txt --ask Who? --controls other", "give one with --other FILE"),
        ("--history chat.txt --ask Who? --controls layers-off", "give numbers such as layers-off=0-9+12"),
        ("--history chat.txt --ask Who? --controls magic", "no control 'magic'"),
        ("--history chat.txt --ask Who? --arms base base", "there twice"),
        ("--history chat.txt --ask Who? --report chat.txt", "is a file"),
        ("--history chat.txt --ask Who? --report chat.txt/out", "cannot be written below"),
        ("--history chat.txt --ask Who? --max-new-tokens 0", "max_new_tokens is 0"),
        ("--history chat.txt --ask Who? --seed -1", "seed is -1"),
        ("--history chat.txt --ask Who? --arms memory:strength=1,strength=2", "strength is given twice"),
        ("--history none.txt --ask Who?", "none.txt: The file cannot be opened"),
        ("--history chat.txt --probes chat.txt", "chat.txt: Row 1 names the columns"),
        ("--history chat.txt --ask Who? --arms memory:adapter=XSW", "no adapter 'XSW'"),
        ("--plant x", "--plant is 'x'"),
        ("--plant 1,2,3,4", "up to three whole numbers"),
        ("--plant 0", "number of facts is 0"),
    ],
)
def test_what_is_wrong_is_one_sentence(files, capsys, arguments, said):
    assert program.run(arguments.split() + files) == 1
    err = capsys.readouterr().err.strip().splitlines()[-1]
    assert err.startswith("error: ") and said in err and err.endswith(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "there is no history"),
        ("--history chat.txt", "there is nothing to do"),
        ("--history chat.txt --plant 3", "leave --history and --probes out"),
    ],
)
def test_wrong_options_are_told(arguments, said, capsys):
    with pytest.raises(SystemExit) as left:
        command.options(arguments.split())
    assert left.value.code == 2 and said in capsys.readouterr().err


def test_the_demo_says_what_it_can_do(capsys):
    with pytest.raises(SystemExit):
        command.options(["--help"])
    shown = capsys.readouterr().out
    assert "base-full" in shown and "layers-off" in shown and "130 stopped" in shown
