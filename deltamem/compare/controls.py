"""Negative controls: a session whose memory is spoilt in one known way, to see whether the answers came from it.

    apply(session, "zero")                                   what is asked next cannot come from the state
    apply(session, "other", other_messages=another_history)

A control is set once, after the history was written. It changes the session it is given (branch first to keep the
original) and, where it replaces the state, can be taken back with session.undo().
"""

from dataclasses import dataclass

import numpy as np

from deltamem.compare.errors import ArmError


@dataclass(frozen=True)
class Control:
    """title: what is done. asks: the question it answers. reads: how to read the outcome."""

    title: str
    asks: str
    reads: str


CONTROLS = {
    "zero": Control(
        "Zero state",
        "Does the answer need the state at all?",
        "The state is emptied after the history was written. An answer that stays right was not recalled.",
    ),
    "other": Control(
        "Another transcript's state",
        "Does the answer need this history's state?",
        "The state of another history takes its place. An answer that stays right is a guess or a habit of the model.",
    ),
    "shuffled": Control(
        "Shuffled rows",
        "Does it matter what stands where, or only that the memory pushes?",
        "The rows of every state change places: the same numbers, of the same size, without their meaning.",
    ),
    "frozen": Control(
        "Writes frozen",
        "Does the answer come from the history, or from what was written since?",
        "The state stays as the history left it; questions and answers no longer change it. Recall holds where an "
        "adapter was trained to read so; the demo's were trained to go on writing, and may lose it.",
    ),
    "layers-off": Control(
        "Layers off",
        "Which layers carry the recall?",
        "The chosen layers go on writing but no longer steer. Recall that goes away came through them.",
    ),
}


def apply(session, control, other_messages=None, layers=(), seed=0, progress=None):
    """Put a session under a control. control: a key of CONTROLS, or None for nothing.

    other_messages: the other history, for "other"; progress(done, total) is told while it is written. layers: numbers
    of the layers to switch off, for "layers-off". seed: of the shuffle. Raises ArmError when something is missing.
    """
    if control is None:
        return
    check_control(control)
    if not session.memory:
        raise ArmError(f'The control "{CONTROLS[control].title}" needs a memory; choose an arm with memory.')
    if control == "frozen":
        session.writes = False
    elif control == "layers-off":
        if not list(layers):
            raise ArmError('The control "Layers off" needs the numbers of the layers; name at least one.')
        session.layers_off = layers
    elif control == "zero":
        session.replace_states(np.zeros_like(_state(session)), "zero state")
    elif control == "shuffled":
        session.replace_states(shuffled(_state(session), seed), "shuffled rows")
    else:
        if not other_messages:
            raise ArmError('The control "Another transcript\'s state" needs another history; give one.')
        other = session.branch()
        other.reset()
        other.preload(other_messages, progress)
        session.replace_states(_state(other), "another transcript's state")


def check_control(control):
    """Raise ArmError for a control there is not."""
    if control not in CONTROLS:
        raise ArmError(f"There is no control {str(control)[:40]!r}; use one of {', '.join(CONTROLS)}.")


def shuffled(states, seed=0):
    """The states [L, H, r, r] with the rows of each r×r matrix in another order in which no row keeps its place.

    Every layer and state head gets an order of its own; the same for the same seed.
    """
    rng = np.random.default_rng(seed)
    layers, heads, rank, _ = states.shape
    orders = np.array([[_order(rng, rank) for _ in range(heads)] for _ in range(layers)])
    return np.take_along_axis(states, orders[..., None], axis=2)


def _order(rng, rank):
    """A random cycle through all rows (Sattolo's algorithm): a permutation without fixed points when rank > 1."""
    order = np.arange(rank)
    for last in range(rank - 1, 0, -1):
        other = rng.integers(last)
        order[[last, other]] = order[[other, last]]
    return order


def _state(session):
    return session.snapshots[-1].states
