"""Files in the published formats become the same conversations from wherever they come; bad ones say what is wrong."""

import gzip
import json
import random
from collections import Counter

import pytest

from deltamem.eval.data import hub_rows, local_rows
from deltamem.eval.errors import EvalError
from deltamem.eval.items import Conversation, Item, data_hash, drawn
from deltamem.eval.protocol import read_protocol
from deltamem.eval.tasks import TASKS

from . import made


def read(folder, task, rows=None):
    return TASKS[task].read(local_rows(made.write(folder, task, rows)))


def test_locomo(tmp_path):
    (conversation,) = read(tmp_path, "locomo")
    assert [m["content"] for m in conversation.messages] == [
        'DATE: 1:56 pm on 8 May, 2023\nCONVERSATION:\nAnn said, "I said "yes" to a dog."\nBo said, "What is his name?"',
        'DATE: 1:00 pm on 9 May, 2023\nCONVERSATION:\nAnn said, "His name is Rex."',
    ]  # session 2 before session 10, captions left out
    assert [(i.question, i.golds, i.kind) for i in conversation.items] == [
        ("What is the dog called?", ["Rex"], "4"),
        ("When did Ann get a dog?", ["2023"], "2"),
        ("What does Ann like?", ["dogs, the sea"], "1"),
    ]
    assert conversation.passages[-1] == 'DATE: 1:00 pm on 9 May, 2023 Ann said, "His name is Rex."'


def test_hotpotqa_in_both_layouts(tmp_path):
    original = read(tmp_path, "hotpotqa")
    assert [m["content"] for m in original[0].messages] == [
        "Rex\nRex is a dog. He likes the sea.",
        "The sea\nThe sea is blue.",
    ]
    rows = made.hotpotqa()
    for row in rows:
        row["id"] = row.pop("_id")
        titles, sentences = zip(*row["context"], strict=True)
        row["context"] = {"title": list(titles), "sentences": list(sentences)}
    assert data_hash(read(tmp_path, "hotpotqa", rows)) == data_hash(original)


def test_ifeval_is_the_same_with_and_without_spelled_out_nulls(tmp_path):
    conversations = read(tmp_path, "ifeval")
    assert conversations[1].items[0].extra == {
        "instructions": ["length_constraints:number_words", "punctuation:no_comma"],
        "kwargs": [{"relation": "at least", "num_words": 2}, {}],
    }


def test_gpqa_options_are_shuffled_by_the_record_alone(tmp_path):
    conversations = read(tmp_path, "gpqa_diamond")
    letters = [c.items[0].golds[0] for c in conversations]
    assert len(set(letters)) > 1
    for number, conversation in enumerate(conversations):
        item = conversation.items[0]
        assert f"{item.golds[0]}) {number}\n" in item.question + "\n"
        assert sorted(line[3:] for line in item.question.splitlines()[2:]) == [str(number + i) for i in range(4)]
    assert read(tmp_path, "gpqa_diamond", made.gpqa()[1:])[0].items == conversations[1].items


def test_memory_agent_bench(tmp_path):
    first, second = read(tmp_path, "memory_agent_bench")
    assert [i.kind for i in first.items + second.items] == ["Test_Time_Learning"] * 2 + ["Conflict_Resolution"]
    assert first.items[0].golds == ["Rex", "rex the dog"]
    protocol = read_protocol("memory_agent_bench")
    assert [protocol.new_tokens(c.items[0]) for c in (first, second)] == [20, 10]


def test_qasper_in_both_layouts(tmp_path):
    (paper,) = original = read(tmp_path, "qasper")
    assert [i.golds for i in paper.items] == [["the sea, a dog", "The sea."], ["No", "Unanswerable"]]
    assert paper.messages[1]["content"] == "Introduction\nThe sea is blue.\nIt is big."
    ((key, row),) = made.qasper().items()
    row |= {"id": key, "full_text": {n: [s[n] for s in row["full_text"]] for n in ("section_name", "paragraphs")}}
    qas = {n: [qa[n] for qa in row["qas"]] for n in ("question", "question_id")}
    qas["answers"] = [
        {"answer": [one["answer"] for one in qa["answers"]], "worker_id": ["w"] * len(qa["answers"])}
        for qa in row["qas"]
    ]
    assert data_hash(read(tmp_path, "qasper", [row | {"qas": qas}])) == data_hash(original)


def test_longmemeval_in_both_layouts(tmp_path):
    (chat,) = read(tmp_path, "longmemeval")
    assert [m["content"] for m in chat.messages] == [
        "[2023/05/20 (Sat) 02:21] My dog is called Rex.",
        "A fine name.",
        "[2023/05/21 (Sun) 02:21] My dog is called Rex.",
    ]
    asked = [{"id": "q1", "question": "What is my dog called?", "answer": "Rex"}]
    sample = {"data": [{"id": "s", "question_type": "x", "conversation": made.CHAT, "questions": asked}]}
    (other,) = read(tmp_path, "longmemeval", sample)
    assert other.messages == chat.messages[:2] and other.items[0].golds == ["Rex"]
    asked[0]["is_abstention"] = True
    assert read(tmp_path, "longmemeval", sample)[0].items == []  # only a judge could score it


@pytest.mark.parametrize("task", made.MAKERS)
def test_a_field_that_is_missing_is_named_with_its_row(tmp_path, task):
    def spoilt(value):
        """The same, but that the last row of every list has no question."""
        if isinstance(value, list):
            return value[:-1] + [spoilt(value[-1])] if value else value
        if isinstance(value, dict):
            return {k: spoilt(v) for k, v in value.items() if k not in ("question", "Question", "questions", "prompt")}
        return value

    with pytest.raises(EvalError, match=r'row \d.*"(question|Question|questions|prompt)" (\(it has: |is empty)'):
        read(tmp_path, task, spoilt(made.MAKERS[task]()))


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("locomo", lambda rows: rows[0]["qa"][0].update(category="4"), 'row 1, qa 0, "category" is of type str'),
        ("hotpotqa", lambda rows: rows[1].update(context="text"), 'row 2, "context" is of type str'),
        ("hotpotqa", lambda rows: rows[1].update(answer=" "), 'row 2, "answer" is empty'),
        ("ifeval", lambda rows: rows[1]["kwargs"].pop(), "row 2 has 2 instructions and 1 sets of arguments"),
        (
            "qasper",
            lambda rows: rows["1705.00001"]["qas"][1]["answers"][0]["answer"].update(yes_no="no"),
            '"yes_no" is of type',
        ),
        ("longmemeval", lambda rows: rows[0]["haystack_sessions"].pop(), "row 1 has 2 dates of 1 sessions"),
        (
            "longmemeval",
            lambda rows: rows[0]["haystack_sessions"].__setitem__(0, 3),
            'session 0, "turns" is of type int',
        ),
        ("longmemeval", lambda rows: rows[0]["haystack_sessions"][0][0].update(role="dog"), '"role" is "dog"; it must'),
        ("memory_agent_bench", lambda rows: rows[0]["answers"].pop(), "row 1 has 2 questions and 1 answers"),
        ("memory_agent_bench", lambda rows: rows[1]["metadata"].update(source="new_9"), 'row 2 has the source "new_9"'),
    ],
)
def test_bad_rows(tmp_path, task, change, message):
    rows = made.MAKERS[task]()
    change(rows)
    with pytest.raises(EvalError) as error:
        read(tmp_path, task, rows)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_of_other_shapes(tmp_path):
    rows = made.hotpotqa()
    whole = [row for _, row in local_rows(made.write(tmp_path, "hotpotqa"))]
    lines = tmp_path / "lines.jsonl.gz"
    lines.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert [row for _, row in local_rows(lines)] == whole == rows
    misnamed = tmp_path / "misnamed.json"
    misnamed.write_text("\n".join(map(json.dumps, rows)))
    assert [row for _, row in local_rows(misnamed)] == rows
    assert len(local_rows(tmp_path)) == 9  # a folder is all its files


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"x", "of no known kind"),
        ("a.json", b"{broken", "cannot be read"),
        ("a.json", b"\xff\xfe\x00", "cannot be read"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2 is not valid JSON"),
        ("a.json.gz", b"no gzip", "cannot be read"),
        ("a.json.gz", gzip.compress(b"[1, 2, 3]" * 99)[:-30] + b"\xff" * 30, "cannot be read"),
        ("a.json", b"[" * 100_000, "cannot be read"),
        ("a.json", b"[" + b"1" * 5000 + b"]", "cannot be read"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not valid JSON"),
        ("a.json", b"3", "must be a list of rows"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvalError, match=message) as error:
        local_rows(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(EvalError, match="There is no data file"):
        local_rows(tmp_path / "missing.json")


def test_a_table_with_more_cells_than_heads_names_what_it_has(tmp_path):
    (tmp_path / "a.csv").write_text("Question,Record ID\nWhy?,7,more,cells\n")
    with pytest.raises(
        EvalError, match=r'a.csv, row 1 has no field "Correct Answer" \(it has: Question, Record ID, None'
    ):
        TASKS["gpqa_diamond"].read(local_rows(tmp_path / "a.csv"))


def test_what_the_hub_withholds(monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(error):
        def download(*args, **kwargs):
            raise error

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)

    place = read_protocol("gpqa_diamond").data
    refuse(errors.GatedRepoError.__new__(errors.GatedRepoError))
    with pytest.raises(EvalError, match="accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa"):
        hub_rows("gpqa_diamond", place)
    refuse(errors.LocalEntryNotFoundError("no connection\nmore"))
    with pytest.raises(EvalError, match=r"Error: no connection\); check the network, or accept its terms and download"):
        hub_rows("gpqa_diamond", place)
    with pytest.raises(EvalError, match="locomo is not on the hub: download data/locomo10.json"):
        hub_rows("locomo", read_protocol("locomo").data)


def test_questions_are_drawn_by_the_seed_each_kind_in_its_share():
    def kinds(found):
        return Counter(item.kind for conversation in found for item in conversation.items)

    counts = {"a": 60, "b": 30, "c": 10}
    items = [Item(f"{kind}{i}", "?", ["x"], kind) for kind, count in counts.items() for i in range(count)]
    random.Random(0).shuffle(items)
    conversations = [Conversation(str(i), [], items[10 * i : 10 * i + 10]) for i in range(10)]
    assert drawn(conversations, 0) == drawn(conversations, 0, 100, 10) == conversations
    some = drawn(conversations, 0, 25)
    assert kinds(some) == {"a": 15, "b": 8, "c": 2} or kinds(some) == {"a": 15, "b": 7, "c": 3}  # halves go either way
    assert some == drawn(conversations, 0, 25) != drawn(conversations, 1, 25)
    ids = [item.id for conversation in some for item in conversation.items]
    assert ids == [item.id for item in items if item.id in ids]  # in the data's order
    few = drawn(conversations, 0, 12, 3)
    assert len(few) <= 3 and sum(kinds(few).values()) == 12 and all(c.items for c in few)
    assert few != drawn(conversations, 1, 12, 3)
    assert data_hash(few) != data_hash(some)
