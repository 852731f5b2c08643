"""What single tokens do to a memory and get from it: recorded only when a binding asks, for looking at it later."""

from __future__ import annotations

import torch
from torch import Tensor

from .layer import DeltaMemLayer, Gates
from .plan import Plan


class TokenTrace:
    """Gate and influence of every token of the passes under a binding, on the device and without waiting for it.

    Attributes:
        beta: module name -> one [B, T] per pass: the token's mean write gate over heads and rows (the gate of its
            segment when several tokens share a write); NaN where it was not written.
        influence: module name -> one [B, T] per pass: the norm of the memory's correction over the norm of what it
            corrects, before the correction. Of the attention output; of the first steered head when that is not one.
    """

    def __init__(self) -> None:
        self.beta: dict[str, list[Tensor]] = {}
        self.influence: dict[str, list[Tensor]] = {}

    def add(self, beta: dict[str, Tensor], influence: dict[str, Tensor]) -> None:
        """Count one pass."""
        for record, values in ((self.beta, beta), (self.influence, influence)):
            for name, value in values.items():
                record.setdefault(name, []).append(value)


def measured_head(layer: DeltaMemLayer) -> str:
    """The head whose correction is measured: "o" where the adapter steers it."""
    heads = layer.config.delta_heads
    return "o" if "o" in heads else heads[0]


def token_gates(gates: Gates | None, plan: Plan, x: Tensor) -> Tensor:
    """Mean write gate of each token [B, T], NaN where it was not written. x: [B, T, hidden], for the shape only."""
    if gates is None:
        return x.new_full(x.shape[:2], torch.nan, dtype=torch.float32)
    beta = gates.beta.mean(dim=(1, 3))
    if plan.segments is None:
        return beta if gates.written is None else torch.where(gates.written, beta, torch.nan)
    members = plan.segments.weights > 0  # [B, N, T]
    shared = torch.where(members, beta[..., None], 0.0).sum(dim=1)
    return torch.where(members.any(dim=1), shared, torch.nan)


def influence(layer: DeltaMemLayer, head: str, output: Tensor, reads: Tensor, strength: float) -> Tensor:
    """Norm of a head's correction over the norm of the projection's own output [B, T], in float32.

    The correction is measured alone: in a low-precision sum its small values would be rounded away.
    """
    correction = layer.steer(head, torch.zeros_like(output, dtype=torch.float32), reads, strength)
    own = torch.linalg.vector_norm(output.float(), dim=-1)
    return torch.linalg.vector_norm(correction, dim=-1) / own.clamp_min(torch.finfo(torch.float32).tiny)
