"""Tables: intervals and differences worked out by hand, what may be joined, and the average's definition."""

import json

import numpy as np
import pytest

from deltamem.eval.__main__ import main
from deltamem.eval.errors import EvalError
from deltamem.eval.intervals import difference, mean_interval, pairs
from deltamem.eval.protocol import FOLDER, read_protocol
from deltamem.eval.records import SETTINGS
from deltamem.eval.results import read_results
from deltamem.eval.summary import markdown
from deltamem.eval.tasks import TASKS


def write(folder, task, condition, scores, adapter=None, /, **changes):
    """A result file with these scores of the task's primary metric (the other metrics are 0)."""
    protocol = read_protocol(task)
    header = dict.fromkeys(SETTINGS)
    header |= {"task": task, "condition": condition, "adapter": adapter, "model": "tiny", "questions": len(scores)}
    header |= {"protocol_hash": protocol.hash, "data_hash": "d" * 64, "asked": "all", "seed": 0}
    header |= {"device": "CPU", "dtype": "float32", "adapter_hash": "a" * 64} | changes
    lines = [{"kind": "run", **header}]
    for index, score in enumerate(scores):
        found = dict.fromkeys(protocol.metrics, 0.0) | {protocol.primary: score}
        record = {"index": index, "id": str(index), "group": "bridge", "scores": found, "seconds": 0.5}
        record |= {"prompt_tokens": 10, "written_tokens": 0, "new_tokens": 3, "stop": "eos", "clipped": index == 0}
        lines.append({"kind": "item", **record, "peak_bytes": 2**30})
    path = folder / f"{task}.{condition}.{adapter}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_intervals():
    values = np.array([1.0] * 60 + [0.0] * 40)
    mean, low, high = mean_interval(values, np.ones(100))
    assert mean == pytest.approx(0.6)
    spread = 1.96 * (0.6 * 0.4 / 100) ** 0.5  # the normal approximation
    assert (low, high) == (pytest.approx(0.6 - spread, abs=0.015), pytest.approx(0.6 + spread, abs=0.015))
    assert mean_interval(values, np.ones(100)) == (mean, low, high)
    assert mean_interval(np.array([0.3]), np.ones(1)) == pytest.approx((0.3, 0.3, 0.3))


def test_a_paired_difference_is_tighter_than_two_intervals():
    rng = np.random.default_rng(1)
    base = rng.integers(0, 2, 200).astype(float)
    better = base.copy()
    better[:10] = 1.0
    mean, low, high = difference(better, base, np.ones(200))
    assert mean == pytest.approx((better - base).mean()) and 0 <= low < mean < high < 0.08


def test_instruction_level_counts_instructions_not_prompts():
    records = [{"scores": {"x": [1.0, 1]}}, {"scores": {"x": [0.0, 3]}}]
    assert mean_interval(*pairs(records, "x"))[0] == pytest.approx(1 / 4)


def test_the_table(tmp_path):
    paths = [
        write(tmp_path, "hotpotqa", "memory", [1.0, 1.0, 0.0, 1.0], "TSW"),
        write(tmp_path, "hotpotqa", "base", [0.0, 0.0, 1.0, 0.0]),
    ]
    text = markdown(read_results(paths))
    assert "| Base | 4 | 25.0 [0.0, 75.0] | 0.0 [0.0, 0.0] |" in text
    assert "| δ-mem, state only, TSW | 4 | 75.0 [25.0, 100.0] |" in text
    assert "| δ-mem, state only, TSW | 4 | +50.0 [-50.0, +100.0] | 3 | 1 |" in text  # against base, the first condition
    assert "| Base | 10 | 0 | 3.0 | 0.500 | 1.00 | 1 | 0 |" in text
    assert "| Base | 4 | -50.0 [-100.0, +50.0] | 1 | 3 |" in markdown(read_results(paths), "memory")
    assert "tiny on CPU, float32. Adapters: TSW aaaaaaaaaaaa." in text
    assert "not all five benchmarks were run" in text and "| Qwen3-4B, δ-mem TSW (published) | 51.66 |" in text


def test_the_average_needs_all_five_and_says_what_it_is(tmp_path):
    five = {"locomo": [0.2], "hotpotqa": [1.0], "ifeval": [0.5], "gpqa_diamond": [0.3], "memory_agent_bench": [0.0]}
    paths = [write(tmp_path, task, "base", scores) for task, scores in five.items()]
    text = markdown(read_results(paths))
    assert "| Base (tiny) | 40.00 |" in text and "unweighted mean of LoCoMo F1, HotpotQA EM" in text
    for value in ("46.79", "44.56", "44.90", "51.66"):
        assert value in text


def test_a_report_without_any_of_the_five_has_no_average(tmp_path):
    assert "average" not in markdown(read_results([write(tmp_path, "recall", "base", [1.0])]))


def test_differences_from_a_condition_with_a_memory_are_of_the_same_adapter(tmp_path):
    paths = [write(tmp_path, "hotpotqa", "base", [0.0, 0.0])]
    for name, zero, told in (("MSW", [0.0, 0.0], [1.0, 0.0]), ("TSW", [1.0, 1.0], [1.0, 1.0])):
        paths.append(write(tmp_path, "hotpotqa", "memory-zero", zero, name, adapter_hash=name * 20))
        paths.append(write(tmp_path, "hotpotqa", "memory", told, name, adapter_hash=name * 20))
    text = markdown(read_results(paths), "memory-zero")
    table = text.partition("difference from “δ-mem, state only, zero state, each its own adapter’s”")[2].partition(
        "##"
    )[0]
    assert "| δ-mem, state only, MSW | 2 | +50.0 [" in table and "| δ-mem, state only, TSW | 2 | +0.0 [+0.0" in table
    assert "| Base |" not in table


def test_the_overview_has_every_condition_of_every_task(tmp_path):
    paths = [write(tmp_path, "hotpotqa", c, [1.0, 0.0], a) for c, a in (("base", None), ("memory", "MSW"))]
    paths.append(write(tmp_path, "locomo", "memory", [0.5], "MSW", questions=2))
    lines = markdown(read_results(paths)).splitlines()
    assert lines[2] == "| percent | HotpotQA, EM, n = 2 | LoCoMo, F1, n = 2 |"
    assert lines[4] == "| Base | 50.0 [0.0, 100.0] | – |"
    assert lines[5] == "| δ-mem, state only, MSW | 50.0 [0.0, 100.0] | 50.0 [50.0, 50.0] (n = 1) |"
    assert "Overview" not in markdown(read_results(paths[:2]))  # one benchmark's own table says it


def test_runs_that_would_have_one_title_are_told_apart(tmp_path):
    changes = [("one", {}), ("two", {"adapter_hash": "b" * 64}), ("three", {"model": "large", "dtype": "bfloat16"})]
    paths = []
    for folder, changed in changes:
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder, "hotpotqa", "memory", [1.0], "MSW", **changed))
    text = markdown(read_results(paths))
    for title in ("MSW (adapter aaaaaaaaaaaa) (tiny)", "MSW (adapter bbbbbbbbbbbb) (tiny)", "MSW (large)"):
        assert f"| δ-mem, state only, {title} | 1 | 100.0" in text


def test_kinds_of_questions_are_columns(tmp_path):
    path = write(tmp_path, "locomo", "base", [1.0, 0.0, 0.5, 0.5])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, group in zip(lines[1:], "1242", strict=True):
        line["group"] = group
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = markdown(read_results([path]))
    assert "| F1 | multi-hop, n = 1 | temporal, n = 2 | single-hop, n = 1 |" in text
    assert "| Base | 100.0 [100.0, 100.0] | 25.0 [0.0, 50.0] | 50.0 [50.0, 50.0] |" in text


def test_joining_runs_from_the_command_line(tmp_path, capsys):
    paths = [write(tmp_path, "hotpotqa", c, [0.0, 1.0]) for c in ("base", "base-full")]
    assert main(["--compare", *map(str, paths), "--out", str(tmp_path / "out")]) == 0
    assert "Base + full history" in capsys.readouterr().out
    assert (tmp_path / "out/summary.md").exists() and (tmp_path / "out/summary.png").stat().st_size > 5000


@pytest.mark.parametrize(("name", "what"), [("data_hash", "data"), ("protocol_hash", "protocol")])
def test_runs_on_other_data_or_protocols_are_not_joined(tmp_path, capsys, name, what):
    paths = [
        write(tmp_path, "hotpotqa", "base", [0.0]),
        write(tmp_path, "hotpotqa", "memory", [0.0], **{name: "e" * 64}),
    ]
    assert main(["--compare", *map(str, paths), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"memory.None.jsonl was run on another {what} than the other hotpotqa files (eeeeeeeeeeee, not" in said
    assert said.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_run_that_was_stopped_is_compared_on_what_it_answered(tmp_path):
    paths = [
        write(tmp_path, "hotpotqa", "base", [0.0, 0.0, 1.0, 1.0]),
        write(tmp_path, "hotpotqa", "memory", [1.0, 0.0], "MSW", questions=4),
    ]
    text = markdown(read_results(paths))
    assert "| δ-mem, state only, MSW | 2 of 4 | 50.0 [0.0, 100.0] |" in text
    assert "| Base | 4 | 50.0 [0.0, 100.0] |" in text and "stopped early" in text
    assert "| δ-mem, state only, MSW | 2 | +50.0 [+0.0, +100.0] | 1 | 0 |" in text  # Base was wrong on both


@pytest.mark.parametrize("part", [{"questions": 2}, {"asked": "drawn at random from 3 about 1 histories"}])
def test_the_average_takes_whole_benchmarks_only(tmp_path, part):
    five = ["locomo", "hotpotqa", "ifeval", "gpqa_diamond", "memory_agent_bench"]
    paths = [write(tmp_path, task, "base", [1.0], None, **(part if task == "ifeval" else {})) for task in five]
    assert "not all five benchmarks were run" in markdown(read_results(paths))


def test_files_of_one_run_are_one_row(tmp_path):
    path = write(tmp_path, "hotpotqa", "base", [0.0, 1.0, 1.0])
    header, *items = path.read_text().splitlines(keepends=True)
    parts = [tmp_path / f"hotpotqa.base.rank-{rank}-of-2.jsonl" for rank in range(2)]
    for rank, part in enumerate(parts):
        part.write_text("".join([header, *items[rank::2]]))
    (joined,) = read_results(parts)["hotpotqa"]
    assert joined.whole and joined.records == read_results([path])["hotpotqa"][0].records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "chess"}, "holds no run"),
        ({"condition": ["base"]}, "holds no run"),
        ({"questions": None}, r'line 1, "questions" is null; give a result file'),
        ({"data_hash": 3}, r'line 1, "data_hash" is of type int; it must be str'),
    ],
)
def test_runs_of_other_programs(tmp_path, change, message):
    with pytest.raises(EvalError, match=message):
        read_results([write(tmp_path, "hotpotqa", "base", [1.0], **change)])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seconds", "fast", 'line 2, "seconds" is of type str; it must be int or float'),
        ("scores", {}, 'line 2 has no field "question"'),  # nothing to score it by
        ("scores", {"em": "1", "f1": 1}, "line 2, \"em\" is '1', which is no score"),
        ("scores", {"em": float("nan"), "f1": 1}, 'line 2, "em" is nan, which is no score'),
        ("index", None, 'line 2, "index" is null'),
        ("index", "1", 'line 2, "index" is of type str; it must be int'),
    ],
)
def test_damaged_answers(tmp_path, name, value, message):
    path = write(tmp_path, "hotpotqa", "base", [1.0])
    header, item = map(json.loads, path.read_text().splitlines())
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, item | {name: value})))
    with pytest.raises(EvalError, match=message):
        read_results([path])


def test_answers_without_scores_are_scored_by_what_stands_beside_them(tmp_path):
    path = write(tmp_path, "hotpotqa", "base", [0.0, 0.0])
    header, *items = map(json.loads, path.read_text().splitlines())
    for item, answer in zip(items, ("The sea!\nAs said", "a dog"), strict=True):
        del item["scores"]
        item |= {"question": "What?", "gold": ["the sea"], "extra": {}, "answer": answer}
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *items)))
    first, second = read_results([path])["hotpotqa"][0].records
    assert first["scores"] == {"em": 1.0, "f1": 1.0} and first["said"] == "The sea!" and second["scores"]["em"] == 0.0
    items[1]["gold"] = []
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *items)))
    with pytest.raises(EvalError, match="line 3 cannot be scored .*; give a result file"):
        read_results([path])


def test_a_run_without_answers_is_left_out_and_told(tmp_path, capsys):
    empty = write(tmp_path, "hotpotqa", "base", [], questions=3)
    with pytest.raises(EvalError, match="hotpotqa.base.None.jsonl: no answer yet; start the command again"):
        read_results([empty])
    found = read_results([empty, write(tmp_path, "hotpotqa", "base-full", [1.0])])
    assert [result.title for result in found["hotpotqa"]] == ["Base + full history"]
    assert "left out, with no answer yet: hotpotqa.base.None.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_protocols_can_be_read(task):
    protocol = read_protocol(task)
    assert protocol.metrics and len(protocol.hash) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("clip: sideways", "clip is one of recent, start, middle"),
        ("prompt_alone: no slot", "prompt_alone must contain {question}"),
        ("spelling: mistake", "is no protocol .*spelling.*; its fields are title"),
        ("[", "is no protocol"),
    ],
)
def test_bad_protocols(tmp_path, change, message):
    text = (FOLDER / "qasper.yaml").read_text()
    key = change.partition(":")[0]
    lines = [line for line in text.split("\n") if not line.startswith(f"{key}:")]
    (tmp_path / "qasper.yaml").write_text("\n".join([*lines, change]))
    with pytest.raises(EvalError, match=message):
        read_protocol("qasper", tmp_path)
