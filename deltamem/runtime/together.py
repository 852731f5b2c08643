"""Several sessions answering one message side by side."""

from contextlib import ExitStack, closing


def reply_together(sessions, text, max_new_tokens=256, temperature=0.0, top_p=1.0, seed=0):
    """An iterator of (index, Event): the answers of `sessions` to `text` as they grow, one event of each in turn.

    Each session's last event holds its stats, as with Session.reply. Closing the iterator stops all of them, and each
    settles as when its own reply is closed. An error in one session takes that session's turn back, settles the
    others in the same way, and is raised. Raises SessionError for a text or setting that no session takes, before
    anything starts.
    """
    replies = [session.reply(text, max_new_tokens, temperature, top_p, seed) for session in sessions]
    return _rounds(replies)


def _rounds(replies):
    with ExitStack() as running:
        for reply in replies:
            running.enter_context(closing(reply))
        left = dict(enumerate(replies))
        while left:
            for index in list(left):
                event = next(left[index], None)
                if event is None:
                    del left[index]
                else:
                    yield index, event
