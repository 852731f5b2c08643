"""The benchmark command on a tiny model: it checks, measures, prints and writes; and says when a check fails."""

import json
from pathlib import Path

import pytest
import torch

from deltamem.runtime.blocks import block
from deltamem.runtime.run import Run
from deltamem.tools.bench import __main__ as bench
from deltamem.tools.bench import checks, measures, plan, report
from deltamem.tools.bench.subjects import in_float32, make_subject, token_ids

TINY = "--model tiny --device cpu --lengths 24,48 --preload 64,2500 --histories 16 --steps 2 --check-tokens 20"
TINY = [*TINY.split(), "--check-steps", "4", "--minutes", "30"]


@pytest.fixture
def tiny():
    return make_subject("tiny", "cpu", "float32")


def test_it_checks_measures_and_shows(tmp_path, capsys):
    files = {name: tmp_path / f"{name}.png" for name in ("json", "profile")}
    assert bench.main([*TINY, *(part for name, path in files.items() for part in (f"--{name}", str(path)))]) == 0
    found = json.loads(files["json"].read_text())
    assert all(check["ok"] for check in found["checks"]) and len(found["checks"]) > 20
    assert set(found["agreement"].values()) == {1.0}
    assert found["versions"]["torch"] and found["device"] and not found["not_measured"]
    measured = {(row["item"], row["subject"], row["tokens"]) for row in found["figures"]}
    assert {("decode", subject, tokens) for subject in ("base", "TSW") for tokens in (16, 24, 48)} <= measured
    assert {("prefill", subject, 48) for subject in ("base", "TSW", "MSW", "SSW")} <= measured
    assert {("variants", subject, 48) for subject in ("base", "MSW", "SSW")} <= measured
    assert {("arms", "two arms", 24), ("scan", "TSW", 48), ("plain loop", "TSW", 24)} <= measured
    written = next(row for row in found["figures"] if row["item"] == "preload" and row["tokens"] == 2500)
    assert [tokens for tokens, _ in written["times"]] == [1024, 2048, 2500]
    assert written["seconds"] >= written["times"][-1][1] and written["peak_gib"] > 0.05
    assert ("decode after preload", "TSW", 2500) in measured
    assert all(row.get("tok_s", 1) > 0 for row in found["figures"])
    assert "TSW behind 24 tokens" in files["profile"].read_text()
    taken = [row["ratios"] for row in found["figures"] if row["item"] == "decode" and row["tokens"] == 48]
    assert [len(ratios) for ratios in taken] == [6, 6] and taken[0] == [1] * 6, "three rounds in either order"
    printed = capsys.readouterr().out
    assert "| decoding behind 48 tokens, TSW, tokens/s |" in printed and "| a step of two arms" in printed
    plot = tmp_path / "plot.png"
    assert bench.main(["--show", str(files["json"]), "--plot", str(plot)]) == 0
    assert printed.endswith(capsys.readouterr().out), "an earlier run is shown as it was printed"
    assert plot.read_bytes()[:4] == b"\x89PNG"


def test_a_second_start_is_a_process_of_its_own(capfd):
    found = bench.second_start(bench._options(TINY))
    assert list(found) == ["weights", "trial and compiling", "capture"] and found["trial and compiling"] > 0
    assert "capture: " in capfd.readouterr().out
    run = {"figures": [], "start_s": dict.fromkeys(found, 2.0), "second_start_s": dict.fromkeys(found, 1.0)}
    assert [line.split("|")[-4].strip() for line in report.table(run)[-2:]] == ["4.0", "2.0"]


def test_turned_about_every_batch_is_made_first_once(tiny, monkeypatch):
    orders = []

    def times(model, batches, *_):
        orders.append(list(batches))
        return {"base": [2.0, 2.0], "TSW": [1.0, 3.0] if len(orders) == 1 else [4.0, 4.0]}

    monkeypatch.setattr(measures, "_decode_times", times)
    found = measures.decode(tiny, {"base": [None], "TSW": [None]}, 8, 2, 3, turned=True)
    assert orders == [["base", "TSW"], ["TSW", "base"]]
    assert found["TSW"]["ratios"] == [0.5, 1.5, 2.0, 2.0] and found["TSW"]["ratio"] == 1.75
    assert found["TSW"]["step_ms"] == 1750 and found["base"]["tok_s"] == 1


def test_a_failed_check_is_told_and_is_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(checks, "_scan_error", lambda device: float("nan"))
    assert bench.main([*TINY, "--minutes", "0"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL scan against the naive loop" in printed and "not measured: decode 24: no time left" in printed
    assert "so these figures are of something that is not right" in printed


def test_checks_see_an_engine_that_is_wrong(tiny, monkeypatch):
    ids = token_ids(tiny, 12)
    assert tiny.decoder.works()
    forced = checks._forced

    def worse(*args):
        return [(logits * 1.01, {name: s * 1.01 for name, s in states.items()}) for logits, states in forced(*args)]

    monkeypatch.setattr(checks, "_forced", worse)
    found, _ = checks.run_checks(tiny, ids, 3)
    failed = {check["check"] for check in found if not check["ok"]}
    assert len(failed) == 14 and "MSW beside the others, states: relative error" in failed


def test_what_was_measured_is_kept_when_something_fails():
    kept = []
    results = plan.Results(60, lambda: kept.append(len(results.rows)), lambda *_, **__: None)
    results.take("decode", 8, lambda: {"base": {"step_ms": 1.0}})

    def no_room():
        raise torch.OutOfMemoryError("no room")

    results.take("decode", 16, no_room)
    results.take("decode", 32, lambda: None)
    assert kept == [1, 1, 1]
    assert results.skipped == ["decode 16: no room", "decode 32: no decoding engine, or no time to end it"]


def test_lower_precision_is_judged_by_the_same_weights_in_float32():
    model = make_subject("tiny", "cpu", "bfloat16")
    exact = in_float32(model)
    assert exact.dtype == torch.float32 and model.dtype == torch.bfloat16
    for name, weight in exact.backbone.state_dict().items():
        assert torch.equal(weight, model.backbone.state_dict()[name].float())
    tokens = block(token_ids(model, 9), True)
    ours, theirs = (Run(one, one.adapters["MSW"]).feed(tokens) for one in (model, exact))
    assert 1e-4 < checks._error(ours, theirs) < 0.05


def test_the_readme_holds_the_table_of_the_committed_run():
    root = Path(__file__).parents[2]
    found = json.loads((root / "deltamem/tools/bench/results/h200.json").read_text())
    assert "\n".join(report.table(found)) in (root / "README.md").read_text()


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b"{}", b'{"checks": [], "figures": 3, "not_measured": []}'])
def test_a_file_of_another_kind_is_one_sentence(tmp_path, data, capsys):
    (tmp_path / "other.json").write_bytes(data)
    assert bench.main(["--show", str(tmp_path / "other.json")]) == 1
    assert capsys.readouterr().err.endswith(
        "other.json holds no run of this benchmark; give a file that --json wrote\n"
    )


@pytest.mark.parametrize("arguments", [["--lengths", "many"], ["--dtype", "int8"]])
def test_wrong_options(arguments):
    with pytest.raises(SystemExit):
        bench.main(arguments)


@pytest.mark.parametrize("arguments", [["--show", "absent.json"], ["--model", "absent", "--device", "cpu"]])
def test_what_is_missing_is_one_sentence(arguments, capsys):
    assert bench.main(arguments) == 1
    assert "absent" in capsys.readouterr().err
