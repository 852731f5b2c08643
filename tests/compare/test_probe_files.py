"""Reading probes in every form people have them, and one sentence with the row for every broken file."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamem.compare.errors import ProbeError
from deltamem.compare.probes import MAX_BYTES, MAX_PROBES, Probe, probes_from_rows, read_probes

BOAT = Probe("What is my boat called?", ("Tulip",))
DRINK = Probe("What do I like?", ("smoothie", "a smoothie"))
GOOD = {
    "csv": ("a.csv", "question,answer\nWhat is my boat called?,Tulip\nWhat do I like?,smoothie | a smoothie\n"),
    "other names, order and case": (
        "a.csv", "Gold;Prompt\nTulip;What is my boat called?\nsmoothie|a smoothie;What do I like?\n",
    ),
    "tsv, two answer columns": (
        "a.tsv", "Query\tAnswer 1\tAnswer_2\nWhat is my boat called?\tTulip\t\nWhat do I like?\tsmoothie\ta smoothie\n",
    ),
    "no header": ("a.csv", "What is my boat called?,Tulip\n\nWhat do I like?,smoothie|a smoothie\n"),
    "quotes, blank rows, BOM, Windows lines": (
        "a.csv",
        '\ufeff\r\nquestion,answer\r\n"What is my boat called?"," Tulip "\r\n,\r\n'
        '"What do I like?","smoothie|a smoothie"\r\n',
    ),
    "named as text": ("a.txt", "q,a\nWhat is my boat called?,Tulip\nWhat do I like?,smoothie|a smoothie"),
    "jsonl": (
        "a.jsonl",
        '{"question": "What is my boat called?", "answer": "Tulip"}\n\n'
        '{"question": "What do I like?", "answers": ["smoothie", "a smoothie"]}\n',
    ),
    "jsonl of pairs": (
        "a.jsonl", '["What is my boat called?", "Tulip"]\n["What do I like?", "smoothie", "a smoothie"]',
    ),
    "json list": ("a.json", json.dumps([
        {"Q": "What is my boat called?", "A": "Tulip"},
        {"query": "What do I like?", "gold": "smoothie", "aliases": ["a smoothie"]},
    ])),
    "json object": ("a.json", json.dumps({"probes": [
        {"prompt": "What is my boat called?", "expected": "Tulip"},
        {"question": "What do I like?", "answers": {"text": ["smoothie", "a smoothie"], "answer_start": [1, 2]}},
    ]}, indent=1)),
    "json with two lists": ("a.json", json.dumps({
        "title": "x", "questions": ["What is my boat called?", "What do I like?"],
        "answers": ["Tulip", ["smoothie", "a smoothie"]],
    })),
}  # fmt: skip


@pytest.mark.parametrize("form", GOOD)
def test_forms(form, tmp_path):
    name, text = GOOD[form]
    expected = [BOAT, DRINK]
    assert read_probes(text.encode(), name) == expected
    (tmp_path / name).write_bytes(text.encode())
    assert read_probes(tmp_path / name) == read_probes(str(tmp_path / name)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Is it red, or blue?;red\nWhat is it, or who?;Rex",  # commas, but not between cells
        "Frage;Antwort\nIs it red, or blue?;red\nWhat is it, or who?;Rex\n",  # a header of unknown words
        "sep=;\r\nquestion;answer\r\nIs it red, or blue?;red\r\nWhat is it, or who?;Rex\r\n",
        '\n  \nNo.,Question text,Correct answer\n1,"Is it red, or blue?",red\n2,"What is it, or who?",Rex\n',
        "question|answer\nIs it red, or blue?|red\nWhat is it, or who?|Rex\n",
        'question,answer\n"Is it red, or blue?",red\n"What is it, or who?",Rex\n"Is it red, or blue?",red\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_save_them(text, encoding):
    expected = [Probe("Is it red, or blue?", ("red",)), Probe("What is it, or who?", ("Rex",))]
    assert read_probes(text.encode(encoding), "a.csv") == expected


def test_the_first_row_may_be_a_question():
    assert len(read_probes(b"What question did I ask?,the answer\nWhat is it?,x", "a.csv")) == 2


def test_utf16_and_numbers():
    assert read_probes("question,answer\nЗачем?,да\n".encode("utf-16"), "a.csv") == [Probe("Зачем?", ("да",))]
    assert read_probes(b'{"question": "How many?", "answer": 3}', "a.jsonl")[0].answers == ("3",)


BROKEN = {
    "empty": (b"", "The file holds no probes"),
    "empty cells": (b'"",""\n,\n', "There are no probes"),
    "blank": (b" \n\n ", "The file holds no probes"),
    "header only": (b"question,answer\n", "There are no probes"),
    "a picture": (b"\x89PNG\r\n\x1a\n....", "The file is a PNG image"),
    "binary": (bytes(range(256)) * 4, "The file looks binary"),
    "one column": (b"question\nWhat?\n", "Row 1 names the columns 'question'"),
    "strange columns": (b"name,age,place\na,b,c\n", "Row 1 names the columns 'name', 'age', 'place'"),
    "no answer": (b"question,answer\nWhat?,Tulip\nWho?,\n", "Row 3: The question “Who.” has no answer"),
    "no question": (b"question,answer\n,Tulip\n", "Row 2: The question is empty"),
    "open quote": (b'question,answer\nWhat?,"Tulip\nWho?,Rex\n', "Row 2 is no CSV"),
    "long question": (b"question,answer\n" + b"a" * 2001 + b",b\n", "Row 2: The question has 2,001 characters"),
    "long answer": (b"question,answer\na," + b"b" * 501 + b"\n", "Row 2: An answer has 501 characters"),
    "many answers": (b"question,answer\na," + b"|".join(b"%d" % i for i in range(21)), "Row 2: There are 21 accepted"),
    "many rows": (b"question,answer\n" + b"a,b\n" * (MAX_PROBES + 1), "at most 1,000 are read"),
    "bad json line": (
        b'{"question": "a", "answer": "b"}\n{"question": "a"\n',
        "Line 2 is no JSON .+ at column 17",
    ),
    "bad json": (b'{"question": "a"', "Line 1 is no JSON"),
    "no keys": (
        b'[{"question": "a", "answer": "b"}, {"say": 1}]',
        "Entry 2 lacks a question or an answer .its keys: 'say'",
    ),
    "not an object": (b'["a", 1]', 'Entry 1 is "a", not a question'),
    "null answer": (b'[{"question": "a", "answer": null}]', "Entry 1 has a question or an answer that is no text"),
    "unequal lists": (b'{"questions": ["a", "b"], "answers": ["c"]}', "2 questions and 1 answers"),
    "many lines": (b'{"question": "a", "answer": "b"}\n' * (MAX_PROBES + 1), "at most 1,000 are read"),
    "second json line": (b'{"question": "a", "answer": "b"}\n\n{"question": "c"}', "Line 3 lacks a question or"),
    "json over lines": (b'[\n{"question": "a", "answer": "b"},\n{"question" "c"}]', "Line 3 is no JSON"),
    "other answers": (b"question,answer\na,b\n\na,c\n", "Row 4 asks what row 2 asks, with other answers"),
    "text": (b"just some words", "Row 1 names the columns 'just some words'"),
    "deep": (b"[" * 100_000, "nests too deeply|no JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_sentence(case):
    data, said = BROKEN[case]
    with pytest.raises(ProbeError, match=said) as raised:
        read_probes(data, "x")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300 and str(raised.value).endswith(".")


def test_size_and_place(tmp_path):
    with pytest.raises(ProbeError, match="at most 5 MB are read"):
        read_probes(b"a" * (MAX_BYTES + 1), "x.csv")
    for path in (tmp_path, tmp_path / "none.csv", tmp_path / "a\0b"):
        with pytest.raises(ProbeError, match="cannot be read"):
            read_probes(path)


def test_typed_rows():
    rows = [["What is my boat called?", "Tulip"], ["", None], ["What do I like?", "smoothie|a smoothie"], ["", ""]]
    assert probes_from_rows(rows) == [BOAT, DRINK]
    with pytest.raises(ProbeError, match="Row 2: The question “Who.” has no answer"):
        probes_from_rows([["a", "b"], ["Who?", ""]])


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode), name=st.sampled_from(["a.csv", "a.json", ""])
)
def test_whatever_comes_it_is_probes_or_a_sentence(data, name):
    try:
        probes = read_probes(data, name)
    except ProbeError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    else:
        assert probes and all(probe.question and probe.answers for probe in probes)
