"""Every form a transcript comes in."""

import json

import pytest

from deltamem.transcripts import TranscriptError, parse_transcript
from deltamem.transcripts.text import prose_pieces

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


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("用户：你好：Tulip\n助手：好的。", "a.txt"),
        ("张三：你好：Tulip\n李四：好的。", "a.txt"),
        ("1. User: 你好：Tulip\n2. Assistant: 好的。", "a.txt"),
        ("sep=;\r\nrole;content\r\nuser;你好：Tulip\r\nassistant;好的。\r\n", "a.csv"),
        ('{"prompt": "你好：Tulip", "completion": "好的。"}', "a.jsonl"),
        ('[{"question": "你好：Tulip", "answer": ["好的。"]}]', "a.json"),
        ('[["你好：Tulip", "好的。"]]', "a.json"),
        ('{"data": [{"role": "用户", "content": "你好：Tulip"}, {"role": "助手", "content": "好的。"}]}', "a.json"),
    ],
)
def test_forms_of_other_languages_and_of_pairs(text, name):
    assert pairs(parse(text, name)) == [("user", "你好：Tulip"), ("assistant", "好的。")]
