"""Parsers beside those of uploads: arms as people type them, files of benchmarks and results. Values or a sentence."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltamem.compare.api import Api
from deltamem.compare.arms import PRESETS, parse_arms
from deltamem.compare.arms.text import parse_layers
from deltamem.core.errors import DeltaMemError
from deltamem.eval.data import local_rows
from deltamem.eval.errors import EvalError
from deltamem.eval.records import read_run
from deltamem.eval.tasks import TASKS
from deltamem.quoting import UNSEEN
from tests.reliability.hostile_text import HOSTILE

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from(
    [*PRESETS, *":,;=+-–\n", "adapter", "strength", "recent", "passages", "control", "layers-off", "0-9", "0.5", "nan"]
    + ["1e999", "-1", "9" * 5000, "zero", "TSW", "\u0663"]
)


def one_sentence(error, longest=1000):
    text = str(error)
    assert text.strip() and not UNSEEN.search(text) and len(text) < longest, text


@MANY
@given(st.lists(WORDS | HOSTILE, max_size=12).map("".join))
def test_any_line_is_arms_or_a_sentence(text):
    try:
        arms = parse_arms(text)
    except DeltaMemError as error:
        one_sentence(error)
    else:
        assert arms and all(0 <= arm.strength <= 4 and arm.title.strip() for arm in arms)


@MANY
@given(st.lists(st.sampled_from([*"0123456789+-–, \t", "99999", "\u0663"]) | HOSTILE, max_size=12).map("".join))
def test_any_layers_are_numbers_or_refused(text):
    try:
        layers = parse_layers(text)
    except ValueError:
        return
    assert layers == tuple(sorted(set(layers))) and 0 <= layers[0] <= layers[-1] <= 9999


@MANY
@given(HOSTILE | st.none() | st.integers())
def test_any_history_of_a_call_is_messages_or_a_sentence(text):
    try:
        for message in Api(None).parse_history(text):
            assert message["content"].strip()
    except DeltaMemError as error:
        one_sentence(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
CONTENT = st.binary(max_size=80) | HOSTILE.map(lambda text: text.encode("utf-8", "surrogatepass"))
CONTENT |= VALUES.map(lambda value: json.dumps(value).encode())


@MANY
@given(content=CONTENT, name=st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.json.gz"]), whole=st.booleans())
def test_any_file_is_rows_or_a_sentence(tmp_path, content, name, whole):
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") and whole else content)
    try:
        assert all(where.startswith(name) for where, _ in local_rows(tmp_path / name))
    except EvalError as error:
        one_sentence(error)


@pytest.mark.parametrize("task", [task for task in TASKS if hasattr(TASKS[task], "read")])
@MANY
@given(data=st.data())
def test_any_rows_are_questions_or_a_sentence(task, data):
    """Rows of the fields that a benchmark's reader asked for so far, with anything in them."""
    row = {}
    for _ in range(12):
        try:
            TASKS[task].read([("row 1", row)])
            return
        except EvalError as error:
            one_sentence(error)
            missing = str(error).partition('no field "')[2].partition('"')[0]
            wanted = missing or str(error).partition(', "')[2].partition('"')[0]
            if wanted:
                row[wanted] = data.draw(VALUES)


@MANY
@given(st.lists(CONTENT | VALUES.map(lambda value: json.dumps({"kind": "run", "a": value}).encode()), max_size=3))
def test_any_result_file_is_read_or_refused(tmp_path, lines):
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    try:
        header, records = read_run(tmp_path / "a.jsonl")
    except EvalError as error:
        one_sentence(error)
    else:
        assert isinstance(header, dict) and isinstance(records, dict)
