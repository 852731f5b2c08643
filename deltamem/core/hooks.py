"""The hooks that carry a binding through a backbone's forward pass; what a pass needs lives in a ContextVar."""

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .binding import Binding, bound_to, summed
from .config import HEADS
from .errors import StateError
from .generation import take_noted_mask
from .layer import DeltaMemLayer
from .masks import valid_tokens
from .plan import Plan, make_plan
from .trace import influence, measured_head, token_gates


class Pass:
    """One forward pass under a binding: what the layers read so far, and what to keep when the pass succeeds."""

    def __init__(self, hooks: "BackboneHooks", binding: Binding | None, plan: Plan | None, previous: "Pass | None"):
        self.hooks = hooks
        self.binding = binding
        self.before = {} if binding is None else binding.states  # a replay needs them when the binding has gone on
        self.plan = plan
        self.previous = previous
        self.reads: dict[str, Tensor] = {}
        self.states: dict[str, Tensor] = {}
        self.gate_sums: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self.token_gates: dict[str, Tensor] = {}
        self.influence: dict[str, Tensor] = {}
        self.dtype: torch.dtype | None = None

    def state(self, name: str, layer: DeltaMemLayer, x: Tensor) -> Tensor:
        """The layer's state before the pass: [B, H, r, r] float32, zeros when there is none yet."""
        self.dtype = x.dtype
        binding, config = self.binding, layer.config
        state = self.before.get(name)
        size = (x.shape[0], config.num_state_heads, config.rank, config.rank)
        if state is None:
            return torch.zeros(size, dtype=torch.float32, device=x.device)
        differences = []
        if tuple(state.shape) != size:
            differences.append(f"has shape {list(state.shape)}, the pass needs {list(size)}")
        if state.device != x.device:
            differences.append(f"is on device {state.device}, the pass runs on {x.device}")
        if binding.dtype not in (None, x.dtype):
            differences.append(f"was made by a backbone in {binding.dtype}, which now runs in {x.dtype}")
        if differences:
            raise StateError(
                f"the live state of {name} {'; '.join(differences)}: a state cannot be carried over; "
                f"reset it first, with reset_delta_mem_states(model) or Binding.reset()"
            )
        if state.is_inference() and not torch.is_inference_mode_enabled():
            return state.clone()  # made in inference mode, which gradients refuse
        return state

    def commit(self) -> None:
        """Hand the new states and gates to the binding."""
        if self.binding is None:
            return
        self.binding.states = {**self.binding.states, **self.states}
        self.binding.dtype = self.dtype or self.binding.dtype
        if self.binding.gates is not None:
            for name, sums in self.gate_sums.items():
                self.binding.gates.add_sums(name, *sums)
        if self.binding.trace is not None:
            self.binding.trace.add(self.token_gates, self.influence)


NOTHING = nullcontext()
_PASS: ContextVar[Pass | None] = ContextVar("delta_mem_pass", default=None)


class BackboneHooks:
    """All hooks of one backbone.

    Attributes:
        names: attention modules that an adapter may name.
        default: the binding of passes outside any `bind` (the functional API's), or None.
    """

    def __init__(self, base: nn.Module, attention: dict[str, nn.Module]):
        self.names = frozenset(attention)
        self.default: Binding | None = None
        self.replays = False  # checkpointed layers come back to their pass, see replayed_pass
        self._arguments = list(inspect.signature(base.forward).parameters)
        self._handles = [
            base.register_forward_pre_hook(self._begin, with_kwargs=True),
            base.register_forward_hook(self._succeed),
            base.register_forward_hook(self._end, always_call=True),
        ]
        for name, module in attention.items():
            self._handles.append(module.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True))
            for head in HEADS:
                projection = getattr(module, f"{head}_proj")
                self._handles.append(projection.register_forward_hook(partial(self._steer, name, head)))

    def remove(self) -> None:
        """Take every hook off."""
        for handle in self._handles:
            handle.remove()

    def _begin(self, base: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        previous = _PASS.get()
        if previous is not None and previous.hooks is self:
            previous = previous.previous  # left over from a pass that was interrupted from the keyboard
        binding = bound_to(base, self.default)
        plan = None
        if binding is None:
            take_noted_mask()  # it belonged to this pass alone
        else:
            given = dict(zip(self._arguments, args, strict=False)) | kwargs
            plan = self._plan(base, binding, given)
        _PASS.set(Pass(self, binding, plan, previous))

    def _plan(self, base: nn.Module, binding: Binding, given: dict[str, Any]) -> Plan:
        checkpointing = base.training and torch.is_grad_enabled() and getattr(base, "gradient_checkpointing", False)
        if checkpointing and not self.replays:
            raise StateError(
                "gradient checkpointing runs layers again outside the pass, where the memory is not at hand; "
                "turn gradient checkpointing off, or on with checkpoint_layers(model)"
            )
        if binding.plan is not None:
            take_noted_mask()
            return binding.plan
        inputs = given.get("input_ids")
        if inputs is None:
            inputs = given["inputs_embeds"]
        shape = tuple(inputs.shape[:2])
        cache = given.get("past_key_values")
        past = 0 if cache is None else cache.get_seq_length() if hasattr(cache, "get_seq_length") else None
        valid = valid_tokens(given.get("attention_mask"), binding.valid, past, shape, inputs.device)
        return make_plan(
            binding.adapter.config,
            shape,
            binding.write,
            valid,
            _moved(binding.write_mask, inputs),
            _moved(binding.message_ids, inputs),
            _moved(binding.sentence_ids, inputs),
        )

    def _succeed(self, base: nn.Module, args: tuple, output: Any) -> None:
        _PASS.get().commit()

    def _end(self, base: nn.Module, args: tuple, output: Any) -> None:
        current = _PASS.get()
        # When the pass could not even begin there is nothing of ours to take away.
        if current is not None and current.hooks is self:
            _PASS.set(current.previous)

    def _enter(self, name: str, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        current, layer = self._current(name)
        if layer is None:
            return
        x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        state, binding = current.state(name, layer, x), current.binding
        with full_precision(x):
            wanted = binding.gates is not None or binding.trace is not None
            reads, after, gates = layer(x, state, current.plan, with_gates=wanted)
        current.reads[name] = reads
        if after is not state:
            current.states[name] = after
        if gates is not None and binding.gates is not None:
            current.gate_sums[name] = summed(gates)  # now: a long pass must not hold every token's gates of all layers
        if binding.trace is not None:
            current.token_gates[name] = token_gates(gates, current.plan, x)

    def _steer(self, name: str, head: str, module: nn.Module, args: tuple, output: Tensor) -> Tensor | None:
        current, layer = self._current(name)
        if layer is None:
            return None
        reads = current.reads.pop(name) if head == "o" else current.reads[name]  # o comes last
        if head not in layer.config.delta_heads or name in current.binding.layers_off:
            return None
        binding = current.binding
        with full_precision(output):
            if binding.trace is not None and head == measured_head(layer):
                current.influence[name] = influence(layer, head, output, reads, binding.strength)
            return layer.steer(head, output, reads, binding.strength)

    def _current(self, name: str) -> tuple[Pass | None, DeltaMemLayer | None]:
        current = _PASS.get()
        if current is None or current.hooks is not self or current.binding is None:
            return None, None
        return current, current.binding.adapter.layers.get(name)


def replayed_pass() -> tuple[AbstractContextManager, AbstractContextManager]:
    """Contexts for `torch.utils.checkpoint`: one for a layer's first run, one for its run again in the backward pass.

    The second run reads the states from before the pass and leaves nothing behind.
    """
    current = _PASS.get()
    return NOTHING, NOTHING if current is None else _again(current)


@contextmanager
def _again(original: Pass) -> Iterator[None]:
    replay = Pass(original.hooks, original.binding, original.plan, None)
    replay.before = original.before
    token = _PASS.set(replay)
    try:
        yield
    finally:
        _PASS.reset(token)


def _moved(tensor: Tensor | None, like: Tensor) -> Tensor | None:
    return None if tensor is None else tensor.to(like.device)


def full_precision(like: Tensor) -> AbstractContextManager:
    """Keeps an autocast region of the caller away from the memory's float32."""
    device = like.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else NOTHING
