"""One question to several sessions, of which one may fail without the others."""

from contextlib import closing
from dataclasses import dataclass, field

from deltamem.core.errors import DeltaMemError
from deltamem.runtime.prompt import check_text
from deltamem.runtime.sampling import Sampling
from deltamem.runtime.together import reply_together


@dataclass(frozen=True)
class Said:
    """An answer. stats: of the turn, as Session.reply gives them. error: why there is none; text is then empty."""

    text: str = ""
    stats: dict = field(default_factory=dict)
    error: str = ""


def ask_together(sessions, question, check=None, **sampling):
    """{key: Said}: the answers of sessions (key -> Session), each a turn of its session.

    A session that cannot take the question (its context window is full, say) says so and is as before. check(): called
    after every pass over the model; what it raises ends all answers, which keep what was said, and comes through.
    sampling: as Session.reply takes it. Raises SessionError for a question or setting that no session takes.
    """
    check_text(question)
    Sampling(**sampling)
    said, able = {}, {}
    for key, session in sessions.items():
        try:
            session.check_room(question)
            able[key] = session
        except DeltaMemError as error:
            said[key] = Said(error=str(error))
    try:
        said |= _together(able, question, check, sampling)
    except DeltaMemError:  # one session's trouble must not be the others'
        for key, session in able.items():
            try:
                said |= _together({key: session}, question, check, sampling)
            except DeltaMemError as error:
                said[key] = Said(error=str(error))
    return {key: said[key] for key in sessions}


def _together(sessions, question, check, sampling):
    """{key: Said}. After an error all sessions are as before."""
    keys, texts, stats = list(sessions), dict.fromkeys(sessions, ""), {}
    before = count_turns(sessions)
    try:
        with closing(reply_together(list(sessions.values()), question, **sampling)) as events:
            for index, event in events:
                texts[keys[index]] += event.text
                if event.kind == "stats":
                    stats[keys[index]] = event.stats
                if check is not None:
                    check()
    except DeltaMemError:
        take_back(sessions, before)
        raise
    return {key: Said(texts[key], stats[key]) for key in keys}


def count_turns(sessions):
    """{key: number of turns}."""
    return {key: session.stats()["turns"] for key, session in sessions.items()}


def take_back(sessions, before):
    """Take back the turn of every session that has more of them than `before` says."""
    for key, session in sessions.items():
        if session.stats()["turns"] > before[key]:
            session.undo()
