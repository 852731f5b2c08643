"""The stateless functions: what they return, their limits, and that nothing of a call stays."""

import base64
import json

import pytest

from deltamem.compare.api import MAX_HISTORY, Api, ApiError, parse_arms
from deltamem.compare.arms import PRESETS, start_session
from deltamem.core.errors import DeltaMemError

TEXT = "User: My dog is called Rex.\nAssistant: Hello Rex!\nUser: He likes the sea.\nAssistant: I am fine, thank you."
MANY_PROBES = "question,answer\n" + "".join(f"{number}?,b\n" for number in range(51))
PROBES = "question,answer\nWho is Rex?,dog\nWhat does he like?,the sea\n"


@pytest.fixture
def api(model):
    return Api(model)


def test_histories_in_any_form(api, history):
    assert api.parse_history(TEXT) == api.parse_history(json.dumps(history)) == history
    assert api.parse_history("  \n") == []


def test_answers_are_those_of_sessions_and_every_call_is_alone(api, model, history):
    first = api.answer(TEXT, "Who is Rex?", "base, memory:adapter=MSW,strength=0.5", max_new_tokens=6)
    assert [found["title"] for found in first] == ["Base", "δ-mem MSW × 0.5, state only"]
    arm = parse_arms("memory:adapter=MSW,strength=0.5")[0]
    assert first[1]["answer"] == start_session(model, arm, history).ask("Who is Rex?", max_new_tokens=6)
    assert first[1]["stats"]["history_tokens"] == 0 and first[1]["stats"]["new_tokens"] > 0
    again = api.answer(TEXT, "Who is Rex?", "base, memory:adapter=MSW,strength=0.5", max_new_tokens=6)
    assert [found["answer"] for found in again] == [found["answer"] for found in first]
    assert api.answer("", "Who?", "base", 3)[0]["answer"] == start_session(model, PRESETS["base"]).ask("Who?", 3)
    json.dumps(first)


def test_recall(api):
    found = api.recall(TEXT, PROBES, "base;memory", max_new_tokens=4)
    assert [row["arm"] for row in found["summary"]] == ["Base", "δ-mem, state only"]
    assert found["header"][:3] == ["#", "Question", "Accepted answers"] and len(found["rows"]) == 2
    assert found["csv"].count("\n") == 1 + 4
    json.dumps(found, allow_nan=False)


def test_state_figure(api):
    found = api.state_figure(TEXT, "msw")
    assert base64.b64decode(found["png"]).startswith(b"\x89PNG") and "MSW" in found["alt"]
    assert found["png"] != api.state_figure(TEXT)["png"]


def test_arms_are_parted_by_commas_and_settings_stay_with_theirs():
    arms = parse_arms("base, memory:adapter=TSW,strength=2,memory-rag:passages=2; base:recent=2\nmemory-full")
    assert [arm.key for arm in arms] == ["base", "memory-TSW-x2", "memory-rag2", "base-recent2", "memory-full"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda api: api.answer("a" * (MAX_HISTORY + 1), "Who?"), "at most 200,000 are read"),
        (lambda api: api.answer('{"messages": 3}', "Who?"), "no list of messages"),
        (lambda api: api.parse_history(None), "of type NoneType"),
        (lambda api: api.answer(TEXT, " "), "The message is empty"),
        (lambda api: api.answer(TEXT, "Who?", ""), "no arms"),
        (lambda api: api.answer(TEXT, "Who?", "delta"), "no arm 'delta'"),
        (lambda api: api.answer(TEXT, "Who?", "memory:strength=1,base:recent=1,delta"), "no arm 'delta'"),
        (lambda api: api.answer(TEXT, "Who?", "base, base"), "there twice"),
        (lambda api: api.answer(TEXT, "Who?", ",".join(f"base:recent={i}" for i in range(1, 8))), "7 arms; at most 6"),
        (lambda api: api.answer(TEXT, "Who?", "memory:control=other"), "one history only"),
        (lambda api: api.answer(TEXT, "Who?", max_new_tokens=513), "at most 512"),
        (lambda api: api.answer(TEXT, "Who?", max_new_tokens="many"), "max_new_tokens is 'many'"),
        (lambda api: api.answer(TEXT, "Who?", "memory:adapter=XSW"), "no adapter 'XSW'"),
        (lambda api: api.recall(TEXT, "nothing"), "Row 1"),
        (
            lambda api: api.recall(TEXT, MANY_PROBES),
            "51 probes; at most 50",
        ),
        (lambda api: api.state_figure(""), "history is empty"),
        (lambda api: api.state_figure(TEXT, "XSW"), "no adapter 'XSW'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(api, call, said):
    with pytest.raises(DeltaMemError, match=said) as raised:
        call(api)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300
    assert issubclass(ApiError, DeltaMemError)
