"""One message to a session and the answer to it, on their way to becoming a step."""

import copy

from deltamem.runtime.blocks import GROUP, block, cut, passes
from deltamem.runtime.decoder import Need
from deltamem.runtime.engine import Event, Reply, decode, turn_stats


class Turn:
    """A message that a session was asked. The session is held by the caller until the turn has ended.

    text: as from check_text. sampling: a Sampling. Raises SessionError when the prompt leaves no room for an answer.
    """

    def __init__(self, session, text, sampling):
        self._session, self._text, self._sampling = session, text, sampling
        self._prompt = session._prompt(text)

    @property
    def need(self):
        """The seat that the turn needs: for prompt and answer, the answer's header (once more) and footer."""
        view, footer = self._session._view, self._session.model.chat.reply_footer
        answer = min(self._sampling.max_new_tokens, view.room - self._prompt.tokens)
        return Need(self._session._weights, self._prompt.tokens + answer + len(footer) + 1)

    def events(self, seat):
        """Events of the answer; returns the turn's stats. seat: from model.decoder, or None for the plain loop.

        Closed behind the answer's first token, the turn is a step with what there is of the answer; before it, or
        after an error, there was no turn.
        """
        session = self._session
        waited, rebuilt = yield from session._catch_up()
        run = session._run()
        run.seconds, run.rebuilt = waited, rebuilt
        if seat is not None:
            with run.timed():
                seat.cache.take(run.cache)
                run.cache = seat.cache
        try:
            *parts, last = passes(self._prompt.blocks, run.by_message, session._view.chunk)
            for part in parts:
                run.feed(part)
                yield Event("text")  # a long prompt can be stopped between passes
            logits = run.feed(last)
            reply = Reply()
            try:
                yield from decode(run, logits, reply, self._sampling, session._view.room, seat)
            except GeneratorExit:
                self._finish(run, reply, seat)
                raise
            return self._finish(run, reply, seat)
        finally:
            session._keep(run)

    def _finish(self, run, reply, seat):
        """Feed what the answer still owes, make the turn a step, and return its stats."""
        session, prompt, chat = self._session, self._prompt, self._session.model.chat
        if run.by_message:
            run.crop(prompt.tokens - len(chat.reply_header))
            for part in cut(session._view.answer(reply.ids), GROUP):
                run.feed(part)
        elif session.memory or session.context == "full":
            owed = [*reply.ids[run.length - prompt.tokens :], *chat.reply_footer]
            if owed and seat is not None and seat.quick:
                seat.feed(run, owed)
            elif owed:
                run.feed(block(owed, True))
        stats = turn_stats(run, reply, prompt)
        messages = [{"role": "user", "content": self._text}, {"role": "assistant", "content": reply.text}]
        session._commit(run, "turn", messages, reply.ids, stats)
        return copy.deepcopy(stats)
