"""Messages that a session is told of, on their way to becoming a step."""

from deltamem.runtime.snapshot import Step


def take_in(session, messages, progress=None):
    """Write messages into a session's memory, or only record them where there is none.

    The session is held by the caller. messages: as from check_messages. progress(done_tokens, total_tokens): called
    after every pass; what it raises comes through, and the session is as before. Raises SessionError for a history
    that leaves no room for a prompt.
    """
    view, step = session._view, Step("history", messages)
    view.check_room(view.kept_tokens([*session._steps, step]) + len(session.model.chat.reply_header))
    if not session.memory:
        session._steps.append(step)
        return
    for _ in session._catch_up():
        pass
    run = session._run()
    try:
        groups = view.history(messages, not any(step.messages for step in session._steps))
        done, total = 0, sum(len(part) for group in groups for part in group)
        for group in groups:
            if session.context != "full":
                run.restart()
            for part in group:
                run.feed(part)
                done += len(part)
                if progress is not None:
                    progress(done, total)
        session._commit(run, "history", messages)
    finally:
        session._keep(run)
