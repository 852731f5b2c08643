"""Several sessions answering one message side by side."""

from contextlib import ExitStack, closing

from deltamem.runtime.engine import Event
from deltamem.runtime.prompt import check_text
from deltamem.runtime.sampling import Sampling
from deltamem.runtime.turn import Turn


def reply_together(sessions, text, max_new_tokens=256, temperature=0.0, top_p=1.0, seed=0):
    """An iterator of (index, Event): the answers of `sessions` to `text` as they grow, one event of each in turn.

    Sessions of one model decode in one batch, which takes little longer than one of them alone where decoding is
    bound by reading the weights. Each session's last event holds its stats, as with Session.reply. Closing the
    iterator stops all of them, and each settles as when its own reply is closed. An error in one session takes that
    session's turn back, settles the others in the same way, and is raised. Raises SessionError for a text or setting
    that no session takes, before anything starts.
    """
    return _rounds(list(sessions), check_text(text), Sampling(max_new_tokens, temperature, top_p, seed))


def _rounds(sessions, text, sampling):
    with ExitStack() as held:
        alone = [ExitStack() for _ in sessions]
        for session, stack in zip(sessions, alone, strict=True):
            held.callback(stack.close)  # an error of one session is not the others' fault
            stack.enter_context(session._alone())
        turns = [Turn(session, text, sampling) for session in sessions]
        seats = _seats(held, sessions, turns)
        left = {}
        for index, turn in enumerate(turns):
            left[index] = _reply(alone[index], turn.events(seats[index]))
            held.enter_context(closing(left[index]))
        while left:
            for index in list(left):
                event = next(left[index], None)
                if event is None:
                    del left[index]
                else:
                    yield index, event


def _seats(held, sessions, turns):
    """A seat or None for each turn, lent until `held` ends."""
    seats = [None] * len(sessions)
    for model in {id(session.model): session.model for session in sessions}.values():
        indices = [i for i, session in enumerate(sessions) if session.model is model]
        needs = [turns[i].need for i in indices]
        for i, seat in zip(indices, held.enter_context(model.decoder.seats(needs)), strict=True):
            seats[i] = seat
    return seats


def _reply(alone, events):
    """A session's events; `alone` is closed before the last, so that whoever gets it finds the session free."""
    with closing(events), alone:
        stats = yield from events
    yield Event("stats", stats=stats)
