"""From arms to sessions: made, told the history, put under their controls."""

import functools

from deltamem.compare.controls import apply
from deltamem.compare.errors import ArmError
from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError


def make_session(model, arm):
    """A session with the arm's settings, empty, not yet under its control. Raises ArmError when the model cannot."""
    labels = {label.lower(): label for label in model.adapters}
    adapter = labels.get(arm.adapter.lower(), arm.adapter) if arm.adapter else None
    try:
        session = Session(
            model,
            memory=arm.memory,
            context=arm.context,
            adapter=adapter,
            recent_turns=arm.recent_turns,
            passages=arm.passages,
            strength=arm.strength,
        )
        if arm.layers_off:
            session.branch().layers_off = arm.layers_off  # a layer there is not should be known before any writing
    except SessionError as error:
        raise ArmError(f"{arm.title}: {error}") from error
    return session


def start_session(model, arm, messages=(), other_messages=None, progress=None, seed=0):
    """The arm's session, told a history and put under the arm's control.

    other_messages: the history whose state the control "other" takes. progress(done_tokens, total_tokens): told while
    history is written. seed: of the control "shuffled". Raises ArmError, or SessionError when the history does not fit.
    """
    report = None if progress is None else lambda _, done, total: progress(done, total)
    return start_sessions(model, [arm], messages, other_messages, report, seed)[arm.key]


def start_sessions(model, arms, messages=(), other_messages=None, progress=None, seed=0, refused=None):
    """{arm key: session} of several arms, as start_session makes each; arms with the same memory share its writing.

    progress(arm, done_tokens, total_tokens). refused: a dict that takes {arm key: reason} of the arms whose context
    window is too small for the history, which then get no session; without it, or when it is so with all of them, that
    is raised. Raises ArmError, before any work, for arms that are alike.
    """
    arms = list(arms)
    keys = [arm.key for arm in arms]
    if twice := next((arm for arm in arms if keys.count(arm.key) > 1), None):
        raise ArmError(f"The arm {twice.title!r} is there twice; leave one out.")
    for arm in arms:
        make_session(model, arm)
        _check_other(arm, other_messages)
    written, sessions = {}, {}
    for arm in arms:
        alike = (arm.memory, (arm.adapter or "").lower(), arm.strength, arm.context == "full")
        report = None if progress is None else functools.partial(progress, arm)
        try:
            if alike not in written:
                session = make_session(model, arm)
                if messages:
                    session.preload(messages, report)
                written[alike] = session
            session = written[alike].branch(arm.context, arm.recent_turns, arm.passages)
            apply(session, arm.control, other_messages, arm.layers_off, seed, report)
            sessions[arm.key] = session
        except SessionError as error:
            if refused is None:
                raise
            refused[arm.key], last = str(error), error
    if arms and not sessions:
        raise last
    return sessions


def _check_other(arm, other_messages):
    if arm.control == "other" and not other_messages:
        raise ArmError(f'{arm.title}: the control "Another transcript\'s state" needs another history; give one.')
