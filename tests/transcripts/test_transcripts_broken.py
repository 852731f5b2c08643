"""Broken and hostile files: each gives a transcript or one sentence, quickly."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltamem.transcripts import MAX_BYTES, MAX_MESSAGES, TranscriptError, parse_transcript, read_transcript

from .test_transcripts import pairs, parse


def test_unreadable_characters_are_replaced_and_noted():
    transcript = parse(json.dumps([{"role": "user", "content": "a\ud800b\u0000c"}]))
    assert pairs(transcript) == [("user", "a\ufffdbc")]
    assert any("Unreadable" in note for note in transcript.notes)
    transcript = parse("User: déjà bu, un café".encode() + b"\xff please\nAssistant: of course")
    assert pairs(transcript)[0] == ("user", "déjà bu, un café\ufffd please")
    assert "Bytes that cannot be read were replaced by � in 1 place." in transcript.notes


@pytest.mark.parametrize("repeat", [1, 4000])  # a guess looks at a part of a long file only
@pytest.mark.parametrize(
    ("said", "encoding", "noted"),
    [
        ("Une crème brûlée, s’il vous plaît", "cp1252", True),
        ("Мою собаку зовут Рекс, и каждое утро она гуляет со мной у моря", "cp1251", True),
        ("Мою собаку зовут Рекс, и каждое утро она гуляет со мной у моря", "koi8-r", True),
        ("私の犬の名前はレックスです。", "shift-jis", True),
        ("我的船叫圖利普。", "big5", True),
        ("Το σκυλί μου λέγεται Ρεξ", "cp1253", True),
        ("Björn, 図利普, Рекс", "utf-8", False),
        ("Björn, 図利普, Рекс", "utf-8-sig", False),
        ("My dog is called Rex", "utf-16-le", False),  # without its mark
        ("私の犬の名前はレックスです。", "utf-16-be", False),
        ("Björn, 図利普, Рекс", "utf-16", False),
        ("Björn, 図利普, Рекс", "utf-32", False),
    ],
)
def test_encodings_are_found_out_and_named(said, encoding, noted, repeat):
    plain = [("user", said), ("assistant", "Fine.")] * repeat
    text = "".join(f"{role}: {content}\r\n" for role, content in plain)
    transcript = parse(text.encode(encoding))
    assert set(pairs(transcript)) == set(plain) and len(transcript.messages) == len(plain)
    assert any("not UTF-8 and was read as" in note for note in transcript.notes) is noted


def test_one_foreign_letter_late_in_a_long_file():
    text = "User: nothing of note\nAssistant: Fine.\n" * 5000 + "User: Ihr heißt Björn?\nAssistant: Ja."
    assert parse(text.encode("cp1252")).messages[-2]["content"] == "Ihr heißt Björn?"


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"", "a.txt", "empty"),
        (b" \n\t ", "a.txt", "empty"),
        (b"\xef\xbb\xbf", "a.txt", "no message"),
        (b"%PDF-1.7 ...", "a.pdf", "PDF"),
        (b"PK\x03\x04....", "a.docx", "Office"),
        (bytes(range(256)) * 20, "a.txt", "binary"),
        (b'{"messages": [', "a.json", "not valid JSON"),
        (b'{"messages": [}', "a.txt", "not valid JSON"),
        (b'{"messages": {}}', "a.json", "no list of messages"),
        (b'{"messages": []}', "a.json", "no message"),
        (b"[]", "a.json", "empty list"),
        (b'[1, 2]', "a.json", "not an object"),
        (b'[[["deep"]]]', "a.json", "not an object"),
        (b'[{"text": "hi"}]', "a.json", "no role"),
        (b'[{"role": "king", "content": "hi"}]', "a.json", "king"),
        (b'[{"role": [[[1]]], "content": "hi"}]', "a.json", "of type list"),
        (b'[{"role": "user", "content": 7}]', "a.json", "a number"),
        (b'[{"role": "user", "content": ""}]', "a.json", "no message with text"),
        (b'{"role": "user", "content": "x"}\n{"role": "user"', "a.jsonl", "Line 2"),
        (b"[" * 10_000 + b"]" * 10_000, "a.json", "nests"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "a.txt", "nests"),
        (b"[" + b"1" * 5000 + b"]", "a.json", ""),
        (b"a,b\n1,2\n", "a.csv", "do not say who speaks"),
        (b"role,content\n", "a.csv", "no message"),
        (b"x" * (MAX_BYTES + 1), "a.txt", "20 MB"),
        (b'[' + b"{}," * MAX_MESSAGES + b"{}]", "a.json", "200,000"),
        (b"a:b\n" * (MAX_MESSAGES + 1), "a.txt", "200,000"),
        (b"user,x\n" * (MAX_MESSAGES + 1), "a.csv", "200,000"),
    ],
)  # fmt: skip
def test_malformed_files_get_one_sentence(data, name, said):
    with pytest.raises(TranscriptError) as error:
        parse_transcript(data, name)
    text = str(error.value)
    assert said in text
    assert text.endswith(".") and "\n" not in text and len(text) < 400


def test_missing_file(tmp_path):
    with pytest.raises(TranscriptError, match="cannot be opened"):
        read_transcript(tmp_path / "none.txt")


def sound(transcript):
    assert transcript.messages
    for message in transcript.messages:
        assert message["role"] in ("user", "assistant", "system")
        assert message["content"].strip() == message["content"] != ""
        message["content"].encode("utf-8")
    json.dumps([transcript.messages, transcript.notes, transcript.questions], ensure_ascii=False).encode("utf-8")


NAMES = st.sampled_from(["a.txt", "a.md", "a.json", "a.jsonl", "a.csv", "a", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from("messages mapping current_node role content from value parts author questions".split())
            | st.text(),
            inner | st.sampled_from(["user", "assistant", "human", "tool"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")), NAMES)
def test_any_bytes_give_a_transcript_or_a_sentence(data, name):
    try:
        sound(parse_transcript(data, name))
    except TranscriptError as error:
        str(error).encode("utf-8")


@settings(max_examples=300, deadline=None)
@given(VALUES, NAMES)
def test_any_json_gives_a_transcript_or_a_sentence(value, name):
    try:
        sound(parse_transcript(json.dumps(value).encode(), name))
    except TranscriptError as error:
        str(error).encode("utf-8")


CONTENT = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": CONTENT}), min_size=1
)


@settings(max_examples=100, deadline=None)
@given(MESSAGES)
def test_what_goes_in_comes_out(messages):
    assert parse(json.dumps(messages), "a.json").messages == messages
    assert parse(json.dumps({"messages": messages}, ensure_ascii=False), "a.json").messages == messages
    assert parse("\n".join(json.dumps(m) for m in messages), "a.jsonl").messages == messages


def test_hostile_lines_take_no_longer_than_their_length():
    # Quadratic matching on any of these would take hours.
    gap = " " * 1_000_000
    lines = [gap, f"- {gap}x", f"10:00{gap}", "a" * 1_000_000 + ":", "**" * 500_000, "# " * 500_000]
    for line in [*lines, "[" * 1_000_000 + "x", "\n".join([" 10:00 -  **a"] * 50_000)]:
        try:
            parse(line + "\nUser: hi", "a.txt")
        except TranscriptError:
            pass
