"""The benchmark command on a tiny model: it checks, measures, prints and writes; and says when a check fails."""

import json

import pytest

from deltamem.tools.bench import __main__ as bench
from deltamem.tools.bench import checks

TINY = "--model tiny --device cpu --lengths 24,48 --preload 64,200 --histories 16 --steps 6 --check-tokens 20"
TINY = [*TINY.split(), "--check-steps", "4", "--minutes", "1"]


def test_it_checks_and_measures(tmp_path, capsys):
    files = {name: tmp_path / f"{name}.png" for name in ("json", "plot", "profile")}
    assert bench.main([*TINY, *(part for name, path in files.items() for part in (f"--{name}", str(path)))]) == 0
    found = json.loads(files["json"].read_text())
    assert found["checks_passed"] and all(check["ok"] for check in found["checks"]) and len(found["checks"]) > 10
    assert found["versions"]["torch"] and found["device"] and not found["not_measured"]
    measured = {(row["item"], row["subject"], row["tokens"]) for row in found["figures"]}
    for item in ("decode", "prefill"):
        assert {(item, subject, 48) for subject in ("base", "TSW", "MSW", "SSW")} <= measured
    assert {
        ("decode", "two arms", 24),
        ("preload", "TSW", 200),
        ("scan", "TSW", 48),
        ("decode", "base", 16),
    } <= measured
    assert all(row.get("tok_s", 1) > 0 for row in found["figures"])
    assert files["plot"].read_bytes()[:4] == b"\x89PNG"
    assert "TSW behind 24 tokens" in files["profile"].read_text()
    printed = capsys.readouterr().out
    assert "| decode behind 48 tokens, TSW, tok/s |" in printed and "| step of two arms" in printed


def test_a_failed_check_is_told_and_is_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(checks, "_scan_error", lambda device: float("nan"))
    assert bench.main([*TINY, "--minutes", "0"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL scan against the naive loop" in printed and "not measured: decode base 24" in printed


@pytest.mark.parametrize("arguments", [["--lengths", "many"], ["--dtype", "int8"]])
def test_wrong_options(arguments):
    with pytest.raises(SystemExit):
        bench.main(arguments)
