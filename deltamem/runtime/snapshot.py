"""What a session remembers of each step: the state after it, for undo, for the file and for the figures."""

from dataclasses import dataclass, field

import numpy as np
import torch

from deltamem.runtime.errors import NotANumber, SessionError


@dataclass(frozen=True)
class Snapshot:
    """The memory after one step, on the CPU.

    label: "start", "history", "history 2" …, "turn 1", "turn 2" …, or the note of a replaced state
    layers: names of the L attention modules, in the model's order.
    states: [L, H, r, r] float32, rows indexed like values and gates.
    beta, lam: [L, H, r] float32, means over the tokens that the step wrote; NaN when it wrote none.
    written_tokens: tokens that the step wrote.
    """

    label: str
    layers: list[str]
    states: np.ndarray
    beta: np.ndarray
    lam: np.ndarray
    written_tokens: int


@dataclass(frozen=True)
class Step:
    """One preload ("history"), one turn ("turn") or one replaced memory ("state"); never changed once in a session.

    messages: {"role", "content"} dicts: the preloaded ones, or the user's and the assistant's; none for a state.
    reply_ids: token ids of the answer, without header and footer; empty but for a turn.
    states: {attention module: [1, H, r, r] float32} after the step on the model's device; empty without memory.
    snapshot: None without memory. stats: what the turn's last event said; {"note"} of a state; empty for a preload.
    """

    kind: str
    messages: list[dict]
    reply_ids: list[int] = field(default_factory=list)
    states: dict[str, torch.Tensor] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    stats: dict = field(default_factory=dict)

    @property
    def written_tokens(self):
        """Tokens that the step wrote into the memory."""
        return self.snapshot.written_tokens if self.snapshot else 0


def empty_snapshot(adapter):
    """The memory before anything was written."""
    states = adapter.empty_states(1, "cpu")
    stack = _stack(states, list(adapter.layers))
    nothing = np.full(stack.shape[:-1], np.nan, np.float32)
    return Snapshot("start", list(adapter.layers), stack, nothing, nothing.copy(), 0)


def step_label(kind, stats, earlier):
    """Name of a step after `earlier` ones: "history", "history 2", "turn 1" …, "zero state", "zero state 2" …"""
    alike = [step for step in earlier if step.kind == kind]
    if kind == "state":
        kind = stats["note"]
        alike = [step for step in alike if step.stats["note"] == kind]
    return kind if kind != "turn" and not alike else f"{kind} {len(alike) + 1}"


def unstack(states, like, device):
    """{module: [1, H, r, r]} of an array [L, H, r, r] that fits the snapshot `like`. Raises SessionError."""
    try:
        stack = np.asarray(states)
    except (ValueError, TypeError, RuntimeError) as error:  # rows of different lengths; tensors that are no arrays
        raise SessionError("The state is no array of numbers; take one from a session's snapshots.") from error
    if stack.shape != like.states.shape or stack.dtype.kind != "f":
        raise SessionError(
            f"The state has the shape {list(stack.shape)} ({stack.dtype}) and this session's memory is "
            f"{list(like.states.shape)} (floats); take one from a session with the same adapter."
        )
    tensor = torch.tensor(stack, dtype=torch.float32, device=device)
    if not tensor.isfinite().all():
        raise SessionError("The state holds values that are no finite numbers; take another one.")
    return {name: tensor[index : index + 1] for index, name in enumerate(like.layers)}


def take_snapshot(label, adapter, states, gates, written_tokens):
    """Copy states ({module: [1, H, r, r]}) and gate means to the CPU.

    Raises NotANumber when a state holds something that is no finite number.
    """
    layers = list(adapter.layers)
    stack = _stack(states, layers)
    if not np.isfinite(stack).all():
        raise NotANumber(
            "The memory holds values that are no numbers any more, so this step was taken back; reset the session, or "
            "use another adapter or a lower strength."
        )
    beta, lam = (
        _stack(means, layers) if means else np.full(stack.shape[:-1], np.nan, np.float32) for means in gates.means()
    )
    return Snapshot(label, layers, stack, beta, lam, written_tokens)


def packed(states):
    """The same states ({module: [1, H, r, r]}) in one piece of memory.

    They stay for as long as the session: scattered between what a pass computes and frees, each small one would keep
    the memory around it from going back to the system.
    """
    return dict(zip(states, torch.stack(list(states.values())), strict=True)) if states else {}


def _stack(tensors, layers):
    """[1, ...] tensors of each layer as one CPU array [L, ...]."""
    return torch.stack([tensors[name][0].detach().float() for name in layers]).cpu().numpy()
