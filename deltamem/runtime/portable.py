"""Sessions as plain values, for another process that has the same model loaded: settings, steps, states on the CPU.

What a session keeps for speed (the KV of context "full") stays behind and is computed anew where it is needed.
"""

from dataclasses import replace

from deltamem.runtime.session import Session


def pack(session):
    """A session's settings and steps; everything in it can be pickled and needs no GPU."""
    settings = session.settings | {"adapter": session.adapter if session.memory else None}
    return {"settings": settings, "steps": [_on(step, "cpu") for step in session._steps]}


def unpack(model, packed):
    """The session again, on the model's device."""
    session = Session(model, **packed["settings"])
    session._steps = [_on(step, model.device) for step in packed["steps"]]
    return session


def take_over(session, packed):
    """Bring a session to where its copy in the other process has come. Its states stay on the CPU."""
    session._steps = list(packed["steps"])
    for name in ("writes", "layers_off"):
        setattr(session, name, packed["settings"][name])
    session._kept.cut(0)


def _on(step, device):
    return replace(step, states={name: state.to(device) for name, state in step.states.items()})
