"""Which adapter and which states a forward pass uses: explicit, and separate for every thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .adapter import Adapter
from .errors import StateError, listing
from .layer import Gates
from .plan import Plan
from .trace import TokenTrace


def summed(gates: Gates) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of beta and lambda [B, H, r] over the writes of a pass, and their number [B]."""
    beta, lam, written = gates
    if written is None:
        count = torch.full((beta.shape[0],), float(beta.shape[2]), device=beta.device)
    else:
        count = written.sum(dim=1).float()
        beta, lam = (torch.where(written[:, None, :, None], gate, 0.0) for gate in (beta, lam))
    return beta.sum(dim=2), lam.sum(dim=2), count


class GateSums:
    """Gates summed over written tokens (or segments), on the device and without waiting for it.

    Attributes:
        beta, lam: module name -> [B, H, r] sums of the write gate and of lambda.
        written: module name -> [B] number of writes.
    """

    def __init__(self) -> None:
        self.beta: dict[str, Tensor] = {}
        self.lam: dict[str, Tensor] = {}
        self.written: dict[str, Tensor] = {}

    def add_sums(self, name: str, beta: Tensor, lam: Tensor, written: Tensor) -> None:
        """Count writes of one layer: the sums beta, lam [B, H, r] over them, and their number written [B]."""
        for sums, value in ((self.beta, beta), (self.lam, lam), (self.written, written)):
            sums[name] = sums[name] + value if name in sums else value

    def means(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Mean beta and mean lambda, each module name -> [B, H, r]; NaN for a row without writes."""
        beta, lam = (
            {name: total / self.written[name][:, None, None] for name, total in sums.items()}
            for sums in (self.beta, self.lam)
        )
        return beta, lam


@dataclass
class Binding:
    """An adapter with the states of one conversation (or batch of them), and how the next pass treats them.

    Attributes:
        adapter: its weights.
        states: module name -> [B, H, r, r] float32; a missing name starts from zeros. A pass replaces the dict and its
            tensors and never writes into them, so whoever keeps the old dict keeps a snapshot, and gradients flow
            through several passes.
        write: False: every token reads the fixed state.
        valid: bool [B, T]; tokens that count. None: taken from the 2-D attention mask of the pass.
        write_mask: bool [B, T]; valid tokens outside it read but do not write. None: all write.
        message_ids, sentence_ids: integer [B, T] for adapters that write messages or sentences; -1 is never written.
            One write per id (per pair of ids when sentences are written and both are given), in ascending order,
            after all reads of the pass. A single-token pass with ids of another length writes its token.
        plan: what the next passes read and write, ready made; it overrules everything above.
        strength: factor on every correction.
        layers_off: names of modules that read and write as ever and correct nothing.
        gates: where to sum the gates of what is written, or None.
        trace: where to record every token's gate and influence, or None (it costs nothing then).
    """

    adapter: Adapter
    states: dict[str, Tensor] = field(default_factory=dict)
    write: bool = True
    valid: Tensor | None = None
    write_mask: Tensor | None = None
    message_ids: Tensor | None = None
    sentence_ids: Tensor | None = None
    plan: Plan | None = None
    strength: float = 1.0
    layers_off: frozenset[str] = frozenset()
    gates: GateSums | None = None
    trace: TokenTrace | None = None
    # The backbone's dtype when the states were made: continuing in another one is an error.
    dtype: torch.dtype | None = field(default=None, repr=False)

    def reset(self) -> None:
        """Forget: the next pass starts from zero states."""
        self.states = {}
        self.dtype = None


_BOUND: ContextVar[dict[int, Binding | None] | None] = ContextVar("delta_mem_bound", default=None)


def base_of(model: nn.Module) -> nn.Module:
    """The inner model that every forward pass goes through (itself when there is none)."""
    return getattr(model, "base_model", model)


@contextmanager
def bind(model: nn.Module, binding: Binding | None) -> Iterator[Binding | None]:
    """Run the model's passes inside the block with this binding; with None the backbone runs alone, bit-exact.

    Holds for the current thread (or asyncio task) only. Do not `yield` to other code inside the block: until it ends,
    that code would run under the binding too.

    Raises:
        StateError: the model is not hooked, or the adapter names modules that the model does not have.
    """
    base = base_of(model)
    hooks = getattr(base, "_delta_mem", None)
    if hooks is None:
        raise StateError("this model is not hooked for δ-mem; call hook_backbone(model) or attach_delta_mem first")
    if binding is not None:
        strange = [name for name in binding.adapter.layers if name not in hooks.names]
        if strange:
            raise StateError(f"the adapter is for another backbone: this one has no {listing(strange)}")
    token = _BOUND.set({**(_BOUND.get() or {}), id(base): binding})
    try:
        yield binding
    finally:
        _BOUND.reset(token)


def bound_to(base: nn.Module, default: Binding | None) -> Binding | None:
    """The binding in force for an inner model here and now."""
    bound = _BOUND.get()
    return default if bound is None else bound.get(id(base), default)
