"""Several sessions answering at once: the same answers as alone, and all of them settled however it ends."""

import pytest

from deltamem.runtime import Session
from deltamem.runtime.decoder.batch import Seat
from deltamem.runtime.errors import NotANumber, SessionError
from deltamem.runtime.run import Run
from deltamem.runtime.together import reply_together
from tests.runtime.conftest import same_states

ARMS = [
    {"memory": False},
    {"adapter": "TSW"},
    {"adapter": "MSW", "context": "recent"},
    {"adapter": "SSW", "context": "full"},
    {"memory": False, "context": "full"},
]
HISTORY = [
    {"role": "user", "content": "My dog is called Rex."},
    {"role": "assistant", "content": "Hello Rex!"},
]


@pytest.fixture
def sessions(model):
    made = [Session(model, **arm) for arm in ARMS]
    for session in made:
        session.preload(HISTORY)
    return made


def turns(sessions):
    return [session.stats()["turns"] for session in sessions]


@pytest.mark.parametrize("drawn", [{}, {"temperature": 0.8, "top_p": 0.9, "seed": 5}])
def test_answers_are_those_of_each_alone(sessions, drawn):
    alone = [session.branch() for session in sessions]
    for question, count in (("Who is it?", 7), ("And where?", 5)):
        texts, stats = [""] * len(sessions), {}
        for index, event in reply_together(sessions, question, count, **drawn):
            assert index not in stats, "the stats come last"
            texts[index] += event.text
            if event.kind == "stats":
                stats[index] = event.stats
        for index, session in enumerate(sessions):
            assert texts[index] == alone[index].ask(question, count, **drawn)
            last = alone[index].stats()["last"]
            same = [name for name in last if name not in ("ttft_s", "tok_s")]
            assert {name: stats[index][name] for name in same} == {name: last[name] for name in same}
            assert session.messages == alone[index].messages
            assert same_states(session, alone[index], 1e-4)


def test_answers_grow_side_by_side(sessions):
    order = [index for index, event in reply_together(sessions, "hello", 6) if event.kind == "text"]
    assert order[: 4 * len(sessions)] == list(range(len(sessions))) * 4


def test_closing_settles_every_session(sessions):
    events = reply_together(sessions, "hello", 200)
    for _ in range(4 * len(sessions)):
        next(events)
    events.close()
    for session in sessions:
        last = session.stats()["last"]
        assert last["stop"] == "cancelled" and 0 < last["new_tokens"] < 200
        assert session.messages[-1]["content"] is not None and not session._busy.locked()
        assert len(session.ask("And now?", 3)) >= 0 and session.stats()["turns"] == 2


def test_closing_before_the_start_changes_nothing(sessions):
    reply_together(sessions, "hello").close()
    assert turns(sessions) == [0] * len(sessions)
    assert not any(session._busy.locked() for session in sessions)


@pytest.mark.parametrize("way", ["prompt", "batch", "loop"])
def test_an_error_in_one_settles_the_others(model, sessions, monkeypatch, way, request):
    if way == "loop":
        request.getfixturevalue("plain")
    place, name = (Seat, "next") if way == "batch" else (Run, "feed")
    working, done = getattr(place, name), []

    def failing(self, *args):
        run = self._run if place is Seat else self
        if run.binding is not None and run.binding.adapter is model.adapters["TSW"]:
            done.append(args)
            if len(done) > (0 if way == "prompt" else 3):
                raise RuntimeError("broken")
        return working(self, *args)

    monkeypatch.setattr(place, name, failing)
    with pytest.raises(RuntimeError, match="broken"):
        for _ in reply_together(sessions, "hello", 50):
            pass
    monkeypatch.setattr(place, name, working)
    kept = turns(sessions)
    assert kept[1] == 0 and kept[2:] == [int(way != "prompt")] * 3
    for session, turn in zip(sessions, kept, strict=True):
        assert turn == 0 or session.stats()["last"]["stop"] == "cancelled"
    for session in sessions:
        session.ask("And now?", 3)
    assert turns(sessions) == [count + 1 for count in kept]


def test_numbers_that_break_down_are_the_fault_of_their_session(model, sessions, monkeypatch):
    working = Run.feed

    def failing(self, tokens):
        if self.binding is not None and self.binding.adapter is model.adapters["TSW"]:
            raise NotANumber("broken")
        return working(self, tokens)

    monkeypatch.setattr(Run, "feed", failing)
    with pytest.raises(NotANumber):
        list(reply_together(sessions, "hello", 5))
    assert [session.fault for session in sessions] == [None, "broken", None, None, None]
    assert not any(session._busy.locked() for session in sessions)


@pytest.mark.parametrize(("text", "options"), [(" ", {}), ("hello", {"temperature": -1}), ("hello", {"top_p": 0})])
def test_what_no_session_takes_is_refused_before_anything_starts(sessions, text, options):
    with pytest.raises(SessionError):
        reply_together(sessions, text, **options)


def test_the_same_session_twice_is_refused(sessions):
    with pytest.raises(SessionError, match="writing a reply"):
        list(reply_together([sessions[0], sessions[0]], "hello", 5))
    assert sessions[0].stats()["turns"] <= 1 and sessions[0].ask("again", 3) is not None
