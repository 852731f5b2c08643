"""What a session remembers of each step: the state after it, for undo, for the file and for the figures."""

from dataclasses import dataclass, field

import numpy as np
import torch

from deltamem.runtime.errors import SessionError


@dataclass(frozen=True)
class Snapshot:
    """The memory after one step, on the CPU.

    label: "start", "history", "history 2" …, "turn 1", "turn 2" …
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
    """One preload ("history") or one turn ("turn"); never changed once it is part of a session.

    messages: {"role", "content"} dicts: the preloaded ones, or the user's and the assistant's.
    reply_ids: token ids of the answer, without header and footer; empty for a preload.
    states: {attention module: [1, H, r, r] float32} after the step on the model's device; empty without memory.
    snapshot: None without memory. stats: what the turn's last event said; empty for a preload.
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


def step_label(kind, earlier):
    """Name of a step after `earlier` ones of its kind: "history", "history 2", "turn 1" …"""
    return kind if kind == "history" and not earlier else f"{kind} {earlier + 1}"


def take_snapshot(label, adapter, states, gates, written_tokens):
    """Copy states ({module: [1, H, r, r]}) and gate means to the CPU.

    Raises SessionError when a state holds something that is no finite number.
    """
    layers = list(adapter.layers)
    stack = _stack(states, layers)
    if not np.isfinite(stack).all():
        raise SessionError(
            "The memory holds values that are no numbers any more, so this step was taken back; reset the session, or "
            "use another adapter or a lower strength."
        )
    beta, lam = (
        _stack(means, layers) if means else np.full(stack.shape[:-1], np.nan, np.float32) for means in gates.means()
    )
    return Snapshot(label, layers, stack, beta, lam, written_tokens)


def _stack(tensors, layers):
    """[1, ...] tensors of each layer as one CPU array [L, ...]."""
    return torch.stack([tensors[name][0].detach().float() for name in layers]).cpu().numpy()
