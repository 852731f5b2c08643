"""Sessions decode on a CPU by what a GPU uses: captured prompts, steps ahead, and steps that close an answer."""

import pytest

from deltamem.runtime import Session
from deltamem.runtime.decoder import Decoder, prompt
from deltamem.runtime.decoder.launch import Eager
from deltamem.runtime.decoder.prompt import takes
from tests.runtime.conftest import same_states
from tests.runtime.test_prompt import stand_in_capture

HISTORY = [{"role": "user", "content": "My dog is called Rex."}, {"role": "assistant", "content": "Hello Rex!"}]
OPTIONS = [
    {"memory": False},
    {"memory": False, "context": "full"},
    {"context": "rag"},
    {"adapter": "MSW", "context": "full", "strength": 0.5},
    {"adapter": "SSW", "context": "recent"},
    {"writes": False, "layers_off": (1,)},
]


def converse(model, options):
    session = Session(model, **options)
    session.preload(HISTORY)
    session.ask("Who is Rex?", max_new_tokens=6)
    events = session.reply("And the sea?", max_new_tokens=40, temperature=0.8)
    for _ in range(4):
        next(events)
    events.close()
    session.ask("And now?", max_new_tokens=5)
    return session


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_conversation_is_the_same(model, options, monkeypatch):
    decoder = Decoder(model)
    monkeypatch.setattr(model, "decoder", decoder)
    expected = converse(model, options)
    used = []

    def captured(run, tokens):
        found = decoder._prompts.get(run.binding, len(tokens)) if takes(run, tokens) else None
        used.append(found is not None)
        return found

    monkeypatch.setattr(prompt, "captured", stand_in_capture)
    monkeypatch.setattr(Eager, "ahead", True)
    monkeypatch.setattr(decoder, "prompt", captured)
    session = converse(model, options)
    assert any(used)
    assert session.messages == expected.messages and same_states(session, expected, 2e-4)
    counts = ("prompt_tokens", "new_tokens", "written_tokens", "stop")
    assert [session.stats()["last"][name] for name in counts] == [expected.stats()["last"][name] for name in counts]
