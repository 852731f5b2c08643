"""Several sessions answering one message side by side."""

from contextlib import ExitStack, closing

from deltamem.runtime.engine import Event
from deltamem.runtime.prompt import check_text
from deltamem.runtime.sampling import Sampling


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
        alone = []
        for session in sessions:
            alone.append(held.enter_context(ExitStack()))
            alone[-1].enter_context(session._alone())
        prompts = [session._prompt(text) for session in sessions]
        seats = _seats(held, sessions, prompts, sampling)
        left = {}
        for index, (session, prompt) in enumerate(zip(sessions, prompts, strict=True)):
            left[index] = _reply(session, alone[index], session._turn(text, prompt, sampling, seats[index]))
            held.enter_context(closing(left[index]))
        while left:
            for index in list(left):
                event = next(left[index], None)
                if event is None:
                    del left[index]
                else:
                    yield index, event


def _seats(held, sessions, prompts, sampling):
    """A seat or None for each session, lent until `held` ends."""
    seats = [None] * len(sessions)
    for model in {id(session.model): session.model for session in sessions}.values():
        indices = [i for i, session in enumerate(sessions) if session.model is model]
        needs = [sessions[i]._need(prompts[i], sampling) for i in indices]
        for i, seat in zip(indices, held.enter_context(model.decoder.seats(needs)), strict=True):
            seats[i] = seat
    return seats


def _reply(session, alone, turn):
    """A session's events; `alone` is closed before the last, so that whoever gets it finds the session free."""
    with closing(turn), alone:
        stats = yield from turn
    yield Event("stats", stats=stats)
