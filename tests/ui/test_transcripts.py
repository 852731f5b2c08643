"""Every form a transcript comes in, and every way in which it can be broken."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ui.transcripts import MAX_BYTES, MAX_MESSAGES, TranscriptError, parse_transcript, read_transcript
from ui.transcripts.text import prose_pieces

PAIR = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def parse(text, name=""):
    return parse_transcript(text.encode() if isinstance(text, str) else text, name)


def pairs(transcript):
    return [(message["role"], message["content"]) for message in transcript.messages]


HI = [("user", "hi"), ("assistant", "hello")]


@pytest.mark.parametrize(
    "text",
    [
        "User: hi\nAssistant: hello",
        "\ufeffUser: hi\r\nAssistant: hello\r\n",
        "user:hi\nassistant:hello",
        "**User:** hi\n\n**Assistant:** hello",
        "**User**: hi\n**Assistant**: hello",
        "## User\n\nhi\n\n## Assistant\n\nhello\n",
        "### User:\nhi\n### Assistant:\nhello",
        "**Human**\nhi\n**AI**\nhello",
        "You said:\nhi\nChatGPT said:\nhello",
        "[10:32] User: hi\n[10:33:01] Bot: hello",
        "2024-03-01 10:32 User: hi\n2024-03-01T10:33:00Z Assistant: hello",
        "12/03/2024, 14:05 - Me: hi\n12/03/2024, 14:06 - Bot: hello",
        "User (10:32): hi\nAssistant [10:33 AM]: hello",
        "- User: hi\n- Assistant: hello",
        "Q: hi\nA: hello",
        "---\ntitle: a chat\n---\nUser: hi\nAssistant: hello",
    ],
)
def test_text_with_speakers(text):
    assert pairs(parse(text, "chat.txt")) == HI


def test_turns_of_several_lines_keep_them():
    text = "User: first\nsecond\n\nthird\nAssistant: Note: this is\nExample: x\n```\nUser: in code\n```\n"
    assert pairs(parse(text)) == [
        ("user", "first\nsecond\n\nthird"),
        ("assistant", "Note: this is\nExample: x\n```\nUser: in code\n```"),
    ]


def test_two_strangers_become_user_and_assistant():
    transcript = parse("Anna: I sail.\nBen: Where to?\nAnna: Oslo.")
    assert [m["role"] for m in transcript.messages] == ["user", "assistant", "user"]
    assert "Anna as the user and Ben as the assistant" in " ".join(transcript.notes)


def test_a_group_keeps_its_names():
    transcript = parse("Anna: hi\nBen: hello\nCleo: hey\nBot: welcome")
    assert pairs(transcript) == [
        ("user", "Anna: hi"),
        ("user", "Ben: hello"),
        ("user", "Cleo: hey"),
        ("assistant", "welcome"),
    ]


def test_one_stranger_beside_a_known_side():
    assert pairs(parse("Anna: hi\nBot: hello\nAnna: x"))[0] == ("user", "hi")
    assert pairs(parse("User: hi\nMarvin: hello\nUser: x\nMarvin: y"))[1] == ("assistant", "hello")


def test_what_stands_before_the_first_speaker_is_named_in_the_notes():
    assert any("A talk in May" in note for note in parse("A talk in May\n\nUser: hi\nAssistant: hello").notes)


@pytest.mark.parametrize(
    "text",
    [
        "Just a story. Nothing more.",
        "See https://example.org: it helps.\nMore.",
        "Subject: hello\nDate: today\n\nBody.",
    ],
)
def test_prose_is_told_by_the_user(text):
    transcript = parse(text, "story.md")
    assert {m["role"] for m in transcript.messages} == {"user"}
    assert "prose" in " ".join(transcript.notes)
    assert "".join(m["content"] for m in transcript.messages).split() == text.split()


def test_long_prose_is_split_at_paragraphs_then_sentences():
    pieces = prose_pieces("One sentence here. " * 400 + "\n\n" + "Short.\n\nShort too.")
    assert all(len(piece) <= 2000 for piece in pieces)
    assert all(piece.endswith(".") for piece in pieces)
    assert pieces[-1].endswith("Short.\n\nShort too.")


@pytest.mark.parametrize(
    "value",
    [
        {"messages": PAIR},
        {"messages": [PAIR[0], {"role": "assistant", "content": [{"type": "text", "text": "hello"}]}]},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        {"chat_messages": [{"sender": "human", "text": "hi"}, {"sender": "assistant", "text": "hello"}]},
        PAIR,
        [PAIR],
        [{"messages": PAIR}],
        [{"speaker": "user", "text": "hi"}, {"speaker": "assistant", "text": "hello"}],
    ],
)
def test_json_shapes(value):
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        assert pairs(parse(text, "chat.json")) == HI
        assert pairs(parse(text, "chat.txt")) == HI  # a wrong ending does no harm


def chatgpt(current="c", **more):
    def node(id, parent, role, text):
        return {"id": id, "parent": parent, "message": {"author": {"role": role}, "content": {"parts": [text]}}}

    nodes = [
        {"id": "root", "parent": None, "message": None},
        node("s", "root", "system", ""),
        node("a", "s", "user", "hi"),
        node("b", "a", "assistant", "an older answer"),
        node("c", "a", "assistant", "hello"),
    ]
    return {"mapping": {n["id"]: n for n in nodes}, "current_node": current, "title": "A chat", **more}


def test_chatgpt_export_follows_the_current_branch():
    transcript = parse(json.dumps(chatgpt()))
    assert pairs(transcript) == HI
    assert transcript.format == "ChatGPT export"
    assert "1 message on other branches left out." in transcript.notes
    assert pairs(parse(json.dumps(chatgpt(current="b"))))[1] == ("assistant", "an older answer")
    assert pairs(parse(json.dumps(chatgpt(current=None)))) == HI


def test_chatgpt_export_of_several_takes_the_newest():
    value = [chatgpt("b", update_time=2.0, title="new"), chatgpt("c", update_time=1.0, title="old")]
    transcript = parse(json.dumps(value))
    assert pairs(transcript)[1] == ("assistant", "an older answer")
    assert "2 conversations; the newest one (“new”) was taken" in " ".join(transcript.notes)


def test_chatgpt_export_in_a_circle():
    value = chatgpt()
    value["mapping"]["a"]["parent"] = "c"
    with pytest.raises(TranscriptError, match="circle"):
        parse(json.dumps(value))


def test_jsonl():
    lines = "\n".join(json.dumps(m) for m in PAIR)
    assert pairs(parse(lines, "chat.jsonl")) == HI
    assert pairs(parse(lines, "chat.json")) == HI
    several = "\n".join(json.dumps({"messages": PAIR}) for _ in range(3))
    transcript = parse(several, "chat.jsonl")
    assert pairs(transcript) == HI
    assert "3 conversations; the first one was taken" in " ".join(transcript.notes)
    assert pairs(parse('{"role": "user", "content": "a\u2028b"}\n' + lines, "x.jsonl"))[0] == ("user", "a\nb")


@pytest.mark.parametrize(
    "text",
    [
        "role,content\nuser,hi\nassistant,hello\n",
        "role;content\nuser;hi\nassistant;hello\n",
        "Speaker\tText\nHuman\thi\nBot\thello\n",
        "time,speaker,message\n10:00,Anna,hi\n10:01,Ben,hello\n",
        '"user","assistant"\n"hi","hello"\n',
        "question,answer\nhi,hello\n",
        "user,hi\nassistant,hello\n",
    ],
)
def test_csv(text):
    assert pairs(parse(text, "chat.csv")) == HI


def test_csv_with_long_and_quoted_cells():
    long = "word " * 60_000
    transcript = parse(f'role,content\nuser,"{long}"\nassistant,"one, ""two""\nthree"\n', "chat.csv")
    assert pairs(transcript) == [("user", long.strip()), ("assistant", 'one, "two"\nthree')]


def test_questions_come_with_the_transcript():
    assert parse(json.dumps({"messages": PAIR, "questions": ["Who?", 3, " "]})).questions == ["Who?"]


def test_system_and_tool_messages():
    value = [{"role": "system", "content": "be brief"}, *PAIR, {"role": "tool", "content": "{}"}]
    transcript = parse(json.dumps(value))
    assert [m["role"] for m in transcript.messages] == ["system", "user", "assistant"]
    assert "1 tool message left out." in transcript.notes


def test_parts_without_text_are_counted():
    value = [
        {"role": "user", "content": [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "hi"}]},
        PAIR[1],
    ]
    transcript = parse(json.dumps(value))
    assert pairs(transcript) == HI
    assert any(note.startswith("1 part without text") for note in transcript.notes)


def test_unreadable_characters_are_replaced_and_noted():
    transcript = parse(json.dumps([{"role": "user", "content": "a\ud800b\u0000c"}]))
    assert pairs(transcript) == [("user", "a\ufffdbc")]
    assert any("Unreadable" in note for note in transcript.notes)
    transcript = parse(b"User: caf\xe9 au lait, please\nAssistant: of course")
    assert pairs(transcript)[0] == ("user", "caf\ufffd au lait, please")
    assert any("not UTF-8" in note for note in transcript.notes)
    assert pairs(parse("User: hi\nAssistant: hello".encode("utf-16"))) == HI


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
