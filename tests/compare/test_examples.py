"""The examples: every transcript is read, every question of its probes has its answer in it, the scripts run."""

import json
import sys
from pathlib import Path

import pytest

from deltamem.compare.metrics import contains
from deltamem.compare.probes import read_probes
from deltamem.transcripts import read_transcript

EXAMPLES = Path(__file__).parents[2] / "examples"
PROBES = sorted((EXAMPLES / "transcripts").glob("*.probes.csv"))
GALLERY = EXAMPLES / "transcripts" / "gallery.json"
TRANSCRIPTS = sorted(path for path in (EXAMPLES / "transcripts").iterdir() if path not in [*PROBES, GALLERY])


def test_there_are_enough_and_each_has_its_probes():
    names = [path.stem for path in TRANSCRIPTS]
    assert len(names) >= 6 and names == [path.name.removesuffix(".probes.csv") for path in PROBES]
    assert sorted(entry["file"] for entry in json.loads(GALLERY.read_text())) == [path.name for path in TRANSCRIPTS]
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in table for path in TRANSCRIPTS)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.name)
def test_a_transcript_and_its_probes(path):
    transcript = read_transcript(path)
    assert len(transcript.messages) >= 2 and not any("�" in message["content"] for message in transcript.messages)
    roles = {message["role"] for message in transcript.messages}
    assert roles == ({"user"} if path.name == "long-document.txt" else {"user", "assistant"})
    told = " ".join(message["content"] for message in transcript.messages)
    probes = read_probes(path.with_name(f"{path.stem}.probes.csv"))
    assert len(probes) >= 3 and len({probe.question for probe in probes}) == len(probes)
    for probe in probes:
        assert contains(told, list(probe.answers)), probe


def test_the_guide_is_whole():
    import deltamem.compare

    guide = (Path(deltamem.compare.__file__).parent / "guide.md").read_text(encoding="utf-8")
    for words in ("steering signal, not a fact store", "TSW", "SSW", "MSW", "46.79", "44.56", "44.90", "51.66", "6.48"):
        assert words in guide


def test_the_script_in_code(model, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import compare_in_code

    monkeypatch.setattr(compare_in_code, "load_model", lambda name: model)
    compare_in_code.main()
    shown = capsys.readouterr().out
    assert "δ-mem, state only, zero state" in shown and "1. What is my boat called? (Tulip)" in shown
    sys.modules.pop("compare_in_code")


@pytest.mark.slow
def test_the_command_on_an_example_with_the_demo_model(demo_model, tmp_path, monkeypatch, capsys):
    """The whole way once: the memory recalls the boat from its state alone, the base model cannot."""
    from deltamem.compare import program

    monkeypatch.setattr(program, "load_model", lambda *_, **__: demo_model)
    probes = tmp_path / "two.csv"
    probes.write_text("".join((EXAMPLES / "transcripts" / "boat.probes.csv").open().readlines()[:3]))
    history = str(EXAMPLES / "transcripts" / "boat.json")
    arguments = ["--history", history, "--probes", str(probes), "--arms", "base", "memory", "--controls", "zero"]
    assert program.run([*arguments, "--report", str(tmp_path / "report"), "--max-new-tokens", "12"]) == 0
    record = json.loads((tmp_path / "report" / "report.json").read_text())
    recalled = {row["key"]: row["contains"] for row in record["probes"]["summary"]}
    assert recalled == {"base": 0.0, "memory": 1.0, "memory-zero": 0.0}
    assert all(arm["sound"] for arm in record["arms"])
