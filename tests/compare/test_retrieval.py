"""Retrieval: passages that share words with the question, in the order of the conversation."""

import subprocess
import sys

import pytest

from deltamem.compare.retrieval import PASSAGE_CHARACTERS, quote, retrieve, split_text


def said(*contents):
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(contents)]


TALK = said(
    "My dog is called Rex.",
    "A good name for a dog.",
    "The ferry to Naxos leaves at seven.",
    "Then take the early bus, it reaches the harbour at half past six.",
)


def test_the_passage_with_the_rarest_shared_words_comes_first():
    assert retrieve("When does the ferry leave?", TALK, top=1) == ["user: The ferry to Naxos leaves at seven."]
    assert retrieve("What is my DOG called?", TALK, top=1) == ["user: My dog is called Rex."]


def test_passages_come_in_the_order_of_the_conversation():
    found = retrieve("harbour ferry dog", TALK, top=4)
    assert found == [f"{m['role']}: {m['content']}" for m in TALK]
    assert len(retrieve("harbour ferry dog", TALK, top=2)) == 2


@pytest.mark.parametrize("query", ["zebra", "", "?!", "user assistant"])
def test_nothing_shared_finds_nothing(query):
    assert retrieve(query, TALK) == []


@pytest.mark.parametrize("messages", [[], said(""), said("...", "?"), said("", "!!", " ")])
def test_messages_without_words_are_no_trouble(messages):
    assert retrieve("dog", messages) == []


def test_scripts_without_spaces_are_found():
    talk = said("我的狗叫小白。", "今天天气很好。", "これは海です。")
    assert retrieve("狗叫什么？", talk, top=1) == ["user: 我的狗叫小白。"]
    assert retrieve("海", talk, top=1) == ["user: これは海です。"]


def test_one_long_text_is_searched_in_pieces():
    filler = "Nothing of note happened on that day at all. " * 40
    text = filler + "The password of the archive is heliotrope. " + filler
    (found,) = retrieve("archive password", said(text), top=1)
    assert "heliotrope" in found and len(found) <= PASSAGE_CHARACTERS + len("user: ")


@pytest.mark.parametrize("text", ["", "  ", "short", "word " * 500, "x" * 1999, "a. b? c!\n\n" * 300, "好。" * 700])
def test_pieces_keep_all_characters_and_the_size(text):
    pieces = split_text(text, 100)
    assert all(piece.strip() == piece and 0 < len(piece) <= 100 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_cuts_fall_at_the_strongest_break():
    text = "a" * 60 + ". " + "b" * 20 + "\n\n" + "c" * 60
    assert split_text(text, 100) == ["a" * 60 + ". " + "b" * 20, "c" * 60]
    assert split_text("a" * 60 + ". " + "b" * 60, 100) == ["a" * 60 + ".", "b" * 60]


def test_every_quoted_line_is_marked():
    block = quote(["user: one\n\ntwo\rthree", "assistant: four"])
    assert block == "Context:\n> user: one\n> two\n> three\n> assistant: four\n\nQuestion:\n"


def test_jax_is_left_alone(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('imported')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import deltamem.compare.retrieval; import jax"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "imported", "only the program's own import reaches it"
    program = program.replace("; import jax", "; assert 'jax' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("Jose\u0301?", "His name is José."),
        ("ＴＵＬＩＰ", "The boat is Tulip."),
        ("straße", "STRASSE"),
        ("犬の名前", "私の犬はレックス"),
        ("หมา", "หมาของฉันชื่อเร็กซ์"),
    ],
)
def test_letters_count_however_they_are_encoded(query, said):
    other = {"role": "user", "content": "Nothing of the kind, 123."}
    assert retrieve(query, [other, {"role": "user", "content": said}, other], 1) == [f"user: {said}"]
