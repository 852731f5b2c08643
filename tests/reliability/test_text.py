"""Hostile text: it becomes no control token, no part of a page, no formula; parsers read it or say one sentence."""

import csv
import io
import json
import tracemalloc
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deltamem.compare.errors import ProbeError
from deltamem.compare.figures import Source, gate_map, layer_states, png, states_atlas, svg, token_html, token_text
from deltamem.compare.probes.files import read_probes
from deltamem.runtime import Session
from deltamem.runtime.chat import ChatFormat
from deltamem.runtime.errors import SessionError
from deltamem.transcripts import TranscriptError, parse_transcript
from tests.conftest import make_tokenizer
from tests.reliability.hostile_text import CANARY, CONTROL, HALVES, HOSTILE, MARKUP, STRANGE, only_text, spell
from tests.runtime.test_chat import CASES
from ui import words

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
MANY = settings(max_examples=150, deadline=None, suppress_health_check=QUIET)


# Control tokens


@pytest.fixture(scope="module", params=CASES)
def chat(request):
    template, options, _ = CASES[request.param]
    return ChatFormat(make_tokenizer(template, **options))


@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(text=HOSTILE)
@example(text="".join(CONTROL))
@example(text="<|im_<|im_start|>start|>")
def test_no_text_becomes_a_control_token_or_is_lost(chat, text):
    ids = chat.text(text)
    assert chat.control_ids.isdisjoint(ids)
    assert chat.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) == spell(text)
    for role in ("system", "user", "assistant"):
        one, plain = chat.message(role, text), chat.message(role, "x")
        assert [i for i in one if i in chat.control_ids] == [i for i in plain if i in chat.control_ids]


@pytest.fixture
def sent(model):
    """Ids of every pass over the backbone with more than one token: the prompts, without the answers."""
    passes = []
    handle = model.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: passes.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    yield passes
    handle.remove()


def talk(model, context, system, history, questions):
    session = Session(model, context=context, system=system)
    session.preload(history)
    for question in questions:
        session.ask(question, max_new_tokens=1)


@pytest.mark.parametrize("context", ["none", "recent", "rag", "full"])
@settings(max_examples=8, deadline=None, suppress_health_check=QUIET)
@given(text=HOSTILE.filter(str.strip))
def test_a_whole_session_sends_the_control_tokens_of_a_harmless_one(model, sent, context, text):
    """As user text, system text, uploaded history and retrieved passage."""
    found = []
    for words_ in ("dog", f"dog {text}"):
        sent.clear()
        history = parse_transcript(json.dumps([{"role": "user", "content": words_}]).encode(), "a.json").messages
        talk(model, context, words_, history, [words_, f"dog? {words_}"])
        found.append([i for ids in sent if len(ids) > 1 for i in ids if i in model.chat.control_ids])
    assert found[0] == found[1] and len(found[0]) > 8


@MANY
@given(HOSTILE | st.none() | st.integers() | st.lists(st.text()))
def test_a_message_is_kept_as_it_can_be_written_or_refused(text):
    from deltamem.runtime.prompt import check_text

    try:
        kept = check_text(text)
    except SessionError as error:
        assert str(error).endswith(("character.", "string."))
    else:
        assert kept == spell(text) and kept.encode()


# Parsers

OPENINGS = st.sampled_from(
    ["User: ", "**Assistant**: ", "## System", "[10:00] Anna: ", "> ", "```", "---", "", "a,b", '"']
)
LINES = st.lists(st.tuples(OPENINGS, HOSTILE).map("".join), max_size=12).map("\n".join)
NAMES = st.sampled_from(
    ["a.txt", "a.md", "a.json", "a.jsonl", "a.csv", "a.tsv", "", "\ud800.json", "a" * 5000, "../../etc/passwd"]
)
ENCODINGS = st.sampled_from("utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 latin-1 cp1252 shift-jis utf-7".split())
LEADS = st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"[", b'{"a":', b"role,content\n"])


def sound(transcript):
    assert transcript.messages
    for message in transcript.messages:
        assert message["role"] in ("user", "assistant", "system") and message["content"].strip()
        assert "\0" not in message["content"] and message["content"].encode()
    only_text(words.preview_table(transcript.messages, []))
    for note in transcript.notes:
        assert "\n" not in note and len(note) < 600
        only_text(words.note(note))


def refused(error):
    text = str(error)
    assert text.encode() and "\n" not in text and len(text) < 600, text
    only_text(words.note(text))


def parsed(data, name):
    try:
        sound(parse_transcript(data, name))
    except TranscriptError as error:
        refused(error)


@MANY
@given(LINES, NAMES, ENCODINGS)
def test_any_lines_are_a_transcript_or_a_sentence(text, name, encoding):
    parsed(text.encode(encoding, "replace"), name)


@MANY
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"[", b'{"a":', b"role,content\n"]),
    NAMES,
)
def test_any_bytes_are_a_transcript_or_a_sentence(data, lead, name):
    parsed(lead + data, name)


VALUES = st.none() | st.booleans() | st.floats() | st.integers() | HOSTILE | st.lists(HOSTILE, max_size=3)
AUTHOR = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool", "system"]) | VALUES}) | VALUES
CONTENT = st.fixed_dictionaries({"parts": st.lists(VALUES, max_size=3) | VALUES}) | VALUES
HIDDEN = st.fixed_dictionaries({"is_visually_hidden_from_conversation": VALUES}) | VALUES
SENT = st.fixed_dictionaries({}, optional={"author": AUTHOR, "content": CONTENT, "metadata": HIDDEN}) | VALUES
KEYS = st.sampled_from(["a", "b", "c", "d"])
NODE = st.fixed_dictionaries({}, optional={"parent": KEYS | VALUES, "children": VALUES, "message": SENT}) | VALUES
EXPORT = st.fixed_dictionaries(
    {"mapping": st.dictionaries(KEYS, NODE, max_size=4)},
    optional={"current_node": KEYS | VALUES, "title": VALUES, "update_time": VALUES, "questions": VALUES},
)


@MANY
@given(st.lists(EXPORT, min_size=1, max_size=3) | EXPORT)
def test_any_export_is_a_transcript_or_a_sentence(value):
    parsed(json.dumps(value).encode("utf-8", "surrogatepass"), "conversations.json")


CELL = HOSTILE | st.sampled_from(["user", "assistant", "Anna", "tool", ""])


@MANY
@given(
    st.sampled_from([["role", "content"], ["speaker", "text"], ["question", "answer"], ["a", "b"], []]),
    st.lists(st.lists(CELL, max_size=4), max_size=6),
    st.sampled_from(",;\t|"),
)
def test_any_table_is_a_transcript_or_a_sentence(header, rows, delimiter):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    parsed(file.getvalue().encode("utf-8", "surrogatepass"), "a.csv")


@MANY
@given(
    st.lists(st.tuples(CELL, CELL | st.none() | st.floats()), max_size=5),
    st.sampled_from("csv jsonl json raw".split()),
    HOSTILE,
)
def test_any_probes_are_read_or_refused_in_a_sentence(rows, form, text):
    if form == "csv":
        file = io.StringIO()
        csv.writer(file).writerows([["question", "answer"], *rows])
        data = file.getvalue()
    elif form == "raw":
        data = text
    else:
        values = [{"question": question, "answer": answer} for question, answer in rows]
        data = json.dumps(values) if form == "json" else "\n".join(map(json.dumps, values))
    try:
        for probe in read_probes(data.encode("utf-8", "surrogatepass"), f"a.{form}"):
            assert probe.question.strip() and all(answer.strip() for answer in probe.answers)
    except ProbeError as error:
        refused(error)


SAID = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
SPEECH = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), SAID), min_size=2, max_size=6).filter(
    lambda turns: {role for role, _ in turns} == {"user", "assistant"}
)


@MANY
@given(SPEECH)
def test_what_is_said_comes_back_from_every_form(turns):
    messages = [{"role": role, "content": text} for role, text in turns]
    table = io.StringIO()
    csv.writer(table).writerows([["role", "content"], *turns])
    nodes = {
        str(i): {
            "parent": str(i - 1) if i else None,
            "message": {"author": {"role": role}, "content": {"parts": [text]}},
        }
        for i, (role, text) in enumerate(turns)
    }
    forms = {
        "a.txt": "\n".join(f"{role.title()}: {text}" for role, text in turns),
        "a.md": "\n\n".join(f"**{role.title()}:** {text}" for role, text in turns),
        "a.json": json.dumps({"messages": messages}),
        "a.jsonl": "\n".join(json.dumps(message) for message in messages),
        "a.csv": table.getvalue(),
        "conversations.json": json.dumps([{"mapping": nodes, "current_node": str(len(turns) - 1)}]),
    }
    for name, text in forms.items():
        for data in (text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
            assert parse_transcript(data, name).messages == messages, name


# Size

MB = 2**20
HUGE = {
    "a line of 10 MB": (b"a" * 10 * MB, "a.txt"),
    "10 MB in one message": (json.dumps([{"role": "user", "content": "a b" * (10 * MB // 3)}]).encode(), "a.json"),
    "10 MB without a space after a name": (b"User:" + b"x" * 10 * MB, "a.txt"),
    "1,000,000 rows": (b"role,content\n" + b"user,hi\n" * 1_000_000, "a.csv"),
    "1,000,000 lines": (b"User: hi\n" * 1_000_001, "a.txt"),
    "1,000,000 JSON lines": (b'{"a":1}\n' * 1_000_001, "a.jsonl"),
    "JSON nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, "a.json"),
    "JSON nested 5,000,000 deep": (b'{"a":' * 2_500_000, "a.json"),
    "a text named JSON, nested in quotes": (b'"' + b"[" * 10_000, "a.json"),
    "six million empty lists": (b"[" + b"[]," * 6_000_000 + b"[]]", "a.json"),
    "a row of three million cells": (b"role,content" + b"," * 3_000_000, "a.csv"),
    "50,000 speakers": (b"".join(b"N%d: hi\n" % i for i in range(50_000)), "a.txt"),
    "one quote that never ends": (b'role,content\nuser,"' + b"x,\n" * 900_000, "a.csv"),
    "numbers of many digits": (b"[" + b"9" * 5 * MB + b"]", "a.json"),
    "NUL in every place": (b"U\0s\0e\0r\0" * (MB // 2), "a.txt"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_huge_files_are_read_or_refused_within_their_size(kind):
    """Memory is what Python's objects take; anything slower than linear would not end within the time of a test run."""
    data, name = HUGE[kind]
    tracemalloc.start()
    try:
        transcript = parse_transcript(data, name)
        assert sum(len(message["content"]) for message in transcript.messages) <= len(data)
    except TranscriptError as error:
        refused(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 12 * len(data) + 64 * MB, f"{peak / MB:.0f} MB for {len(data) / MB:.0f} MB"


# What is shown


@MANY
@given(HOSTILE, HOSTILE)
@example(CANARY, CANARY)
def test_text_stays_text_in_the_page(text, other):
    assert only_text(words.note(text, "warn")) == text if "\r" not in text and "\0" not in text else True
    only_text(words.chips((text, other), True))
    only_text(words.progress_bar(text, 1, 2, other))
    only_text(words.preview_table([{"role": text, "content": other}] * 60, [1]))


def snapshot(label):
    draw = np.random.default_rng(0)
    gates = draw.uniform(0, 1, (2, 1, 2)).astype(np.float32)
    layers = ["model.layers.0.self_attn", "model.layers.1.self_attn"]
    states = draw.standard_normal((2, 1, 2, 2)).astype(np.float32)
    return SimpleNamespace(label=label, layers=layers, states=states, beta=gates, lam=1 - gates, written_tokens=3)


def trace(pieces):
    ones = np.full((2, len(pieces)), 0.5, np.float32)
    return SimpleNamespace(
        label="turn 1", layers=["model.layers.0.self_attn", "model.layers.1.self_attn"], head="o", pieces=list(pieces),
        written=np.ones(len(pieces), bool), beta=ones, influence=ones, tokens=len(pieces),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:Glyph")
def test_text_stays_text_in_figures():
    """No formula from a dollar sign, no broken XML, no error from what has no glyph."""
    pieces = [spell(piece) for piece in [*MARKUP, *CONTROL, *STRANGE, *HALVES]]
    name = " ".join([*MARKUP, *map(spell, STRANGE)])
    source = Source(name, name, "arm")
    pictures = [states_atlas(snapshot("turn 1"), source, 1.0), layer_states(snapshot("turn 1"), 1, source, 1.0)]
    pictures += [gate_map(snapshot("turn 1"), source), token_text(trace(pieces), source)]
    for figure in (picture.figure for picture in pictures):
        assert png(figure).startswith(b"\x89PNG")
        root = ElementTree.fromstring(svg(figure))
        assert not [node for node in root.iter() if node.tag.endswith("script")]
    only_text(token_html(trace(pieces)))
