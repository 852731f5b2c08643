"""Result files through kills, cut-off lines, several processes and wrong hands."""

import json
import signal
import subprocess
import sys
import time

import pytest

from deltamem.eval.__main__ import main
from deltamem.eval.errors import EvalError
from deltamem.eval.records import SETTINGS, ResultFile, join_parts, read_run

from . import made
from .conftest import answers

HEADER = dict.fromkeys(SETTINGS, "x") | {"questions": 4}


def record(index):
    return {"index": index, "id": f"i{index}", "answer": f"a{index}\u2028b"}


def test_a_file_goes_on_where_it_stopped(tmp_path):
    file = ResultFile(tmp_path, "run", HEADER)
    file.add([record(0), record(1)])
    file.close()
    with open(file.path, "ab") as half:
        half.write(b'{"kind": "item", "index": 2, "id": "i2", "answ')  # what a kill leaves behind
    again = ResultFile(tmp_path, "run", HEADER)
    assert set(again.done) == {"i0", "i1"}
    again.add([record(2)])
    again.close()
    header, records = read_run(file.path)
    assert header == HEADER and list(records.values()) == [record(0), record(1), record(2)]


def test_a_file_cut_off_in_its_header_begins_anew(tmp_path):
    (tmp_path / "run.jsonl").write_bytes(b'{"kind": "run", "ta')
    file = ResultFile(tmp_path, "run", HEADER)
    file.add([record(0)])
    file.close()
    assert read_run(file.path) == (HEADER, {"i0": record(0)})


@pytest.mark.parametrize("name", SETTINGS)
def test_other_settings_do_not_go_on_in_the_file(tmp_path, name):
    ResultFile(tmp_path, "run", HEADER).close()
    with pytest.raises(EvalError, match=f"was made with another {name.replace('_', ' ')} \\(x, now y\\)"):
        ResultFile(tmp_path, "run", HEADER | {name: "y"})


def test_shards_join_in_order_whatever_their_number_was(tmp_path):
    for rank, world, indexes in ((0, 2, (0, 2)), (1, 2, (1,)), (2, 3, (3,))):
        file = ResultFile(tmp_path, "run", HEADER, rank, world)
        file.add([record(i) for i in indexes])
        file.close()
    assert set(ResultFile(tmp_path, "run", HEADER, 1, 8).done) == {"i0", "i1", "i2", "i3"}  # all shards count as done
    path = join_parts(tmp_path, "run")
    assert [r["index"] for r in read_run(path)[1].values()] == [0, 1, 2, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["run.jsonl"]
    assert join_parts(tmp_path, "run") == path  # once more changes nothing


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"kind": "run"}\n{broken\n{"kind": "item", "id": "x"}\n', 2),
        (b'{"some": "file"}\n', 1),
        (b'{"kind": "item", "id": "x"}\n', 1),
        (b'{"kind": "run"}\n{"kind": "run"}\n', 2),
    ],
)
def test_other_files_are_refused(tmp_path, content, line):
    (tmp_path / "run.jsonl").write_bytes(content)
    with pytest.raises(EvalError, match=f"line {line} is no result line"):
        read_run(tmp_path / "run.jsonl")


def command(tiny_model_folder, data, out):
    settings = ["--task", "hotpotqa", "--data", str(data), "--condition", "base", "--batch", "1", "--device", "cpu"]
    return [*settings, "--model", str(tiny_model_folder), "--out", str(out)]


@pytest.mark.slow
def test_a_killed_process_loses_no_answer(tiny_model_folder, tmp_path):
    data = made.write(tmp_path, "hotpotqa", made.hotpotqa(60))
    settings = command(tiny_model_folder, data, tmp_path / "out")
    path = tmp_path / "out/hotpotqa.base.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "deltamem.eval", *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 6):
            time.sleep(0.02)
        assert process.poll() is None, "it finished before it could be killed: ask more questions"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = path.read_bytes()
    kept = before[: before.rfind(b"\n") + 1].splitlines()
    assert 6 <= len(kept) < 61
    assert main(settings) == 0
    after = path.read_bytes().splitlines()
    assert after[: len(kept)] == kept and len(after) == 61  # not one of them was asked again
    ids = [json.loads(line)["id"] for line in after[1:]]
    assert ids == [f"h{i}" for i in range(60)]


@pytest.mark.slow
def test_two_processes_share_the_questions(tiny_model_folder, tmp_path):
    data = made.write(tmp_path, "hotpotqa", made.hotpotqa(5))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--main_process_port", "0"]
    done = subprocess.run(
        [*launch, "-m", "deltamem.eval", *command(tiny_model_folder, data, tmp_path / "two")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("## HotpotQA") == 1  # one process tells
    assert main(command(tiny_model_folder, data, tmp_path / "one")) == 0
    assert [p.name for p in (tmp_path / "two").glob("*.jsonl")] == ["hotpotqa.base.jsonl"]
    header, records = read_run(tmp_path / "two/hotpotqa.base.jsonl")
    assert header["processes"] == 2 and list(records) == [f"h{i}" for i in range(5)]
    assert answers(tmp_path / "two/hotpotqa.base.jsonl") == answers(tmp_path / "one/hotpotqa.base.jsonl")
