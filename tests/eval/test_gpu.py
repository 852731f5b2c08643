"""The same runs on a GPU."""

import pytest

from deltamem.eval.records import read_run

from . import made
from .conftest import answers

CONDITIONS = ["base", "base-full", "memory", "memory-full", "memory-rag"]


@pytest.mark.gpu
def test_a_gpu_answers_like_the_cpu(evaluate, adapter_folders, tmp_path):
    settings = ["--condition", *CONDITIONS, "--adapter", str(adapter_folders["MSW"]), "--limit", "3"]
    rows = made.memory_agent_bench()  # a shared prefix, and prompts of their own
    for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")):
        out = ["--device", device, "--dtype", dtype, "--out", str(tmp_path / f"{device}-{dtype}")]
        code, _, err = evaluate("memory_agent_bench", *settings, *out, rows=rows)
        assert code == 0, err
    for path in sorted((tmp_path / "cpu-float32").glob("*.jsonl")):
        assert answers(tmp_path / "cuda-float32" / path.name) == answers(path)
        header, records = read_run(tmp_path / "cuda-bfloat16" / path.name)
        assert header["device"] != "CPU" and len(records) == 3
        assert all(0 < record["peak_bytes"] < 2**30 for record in records.values())
