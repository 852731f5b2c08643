"""The tiny model with its three random adapters, and one run of the command line in this process."""

import pytest

from deltamem.eval.__main__ import main
from deltamem.eval.records import read_run
from tests.runtime.conftest import adapter_folders, model  # noqa: F401

from . import made


@pytest.fixture
def evaluate(tiny_model_folder, tmp_path, capsys):
    """Runs `python -m deltamem.eval` on made data; returns (exit code, output, errors)."""

    def run(task, *arguments, rows=None):
        data = [] if task == "recall" else ["--data", str(made.write(tmp_path, task, rows))]
        out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
        device = [] if "--device" in arguments else ["--device", "cpu"]
        settings = ["--task", task, "--model", str(tiny_model_folder), *device, *data, *out, *arguments]
        code = main(settings)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def answers(path):
    """{id: answer} of a result file."""
    return {key: record["answer"] for key, record in read_run(path)[1].items()}
