"""The memory's layers as training runs them: the same weights and results, with forms made for whole batches of turns.

Token writes run in one kernel on a GPU. Message writes (SSW) take a turn in one pass: the chat writes a message when
its pass is over and then decodes the reply, so the reply's tokens read the state after the question's write.
"""

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deltamem.core.errors import ConfigError
from deltamem.core.layer import DeltaMemLayer
from deltamem.core.plan import Plan
from deltamem.kernels.memory_pass import memory_pass


class TurnSegments(NamedTuple):
    """Message writes of a pass that holds one turn.

    Attributes:
        weights: [B, 2, T] float32; row 0 averages the tokens of the question, row 1 those of the reply.
        present: bool [B, 2]; whether the batch row has that message.
        late: bool [B, T]; tokens that read the state after the question was written.
    """

    weights: Tensor
    present: Tensor
    late: Tensor


class TrainingLayer(DeltaMemLayer):
    """A `DeltaMemLayer` in training. `trained` turns a layer into one, with its weights.

    On a GPU whose backbone runs in bfloat16, projections and steering are products in bfloat16, as automatic mixed
    precision would have them; gates, reads, writes and the state stay float32.
    """

    _held: dict[str, Tensor] | None = None  # this step's weights in the backbone's dtype

    def begin_step(self, dtype: torch.dtype) -> None:
        """Cast the weights once for all passes of a step, whose gradients then add up before they are cast back.

        They hold until the next step begins: layers that run again in the backward pass need them too.
        """
        weight, bias = self._packed()
        steering = {name: self._parameters[f"delta_{name}_proj"].to(dtype) for name in self.config.delta_heads}
        self._held = {"weight": weight.to(dtype), "bias": bias.to(dtype), **steering}

    @property
    def _cast(self) -> dict[str, Tensor] | None:
        """None outside training, as when recall is sampled: the weights have moved on since the cast."""
        return self._held if torch.is_grad_enabled() else None

    def raw_queries(self, x: Tensor) -> Tensor:
        """x [B, N, hidden] as projected for queries: [B, H, N, r] float32."""
        weight = self.memory_q_proj if self._cast is None else self._cast["weight"][: self.config.width]
        raw = F.linear(x.to(weight.dtype), weight).float()
        return raw.unflatten(-1, (-1, self.config.rank)).transpose(1, 2)

    def forward(self, x: Tensor, state: Tensor, plan: Plan, with_gates: bool = True):
        if isinstance(plan.segments, TurnSegments):
            return *self._turn(x, state, plan.segments), None
        if self._cast is None or not self._is_plain():
            return super().forward(x, state, plan, with_gates)
        # Padding stands on the right: it is finite, and the kernel gives it neither reads nor gradients.
        raw = F.linear(x, self._cast["weight"], self._cast["bias"])
        return *memory_pass(raw, state, plan.written), None

    def steer(self, head: str, output: Tensor, reads: Tensor, strength: float = 1.0) -> Tensor:
        config = self.config
        plain = not config.trainable_delta_scale and not (head == "o" and config.delta_o_rmsnorm)
        if self._cast is None or not plain:
            return super().steer(head, output, reads, strength)
        flat = torch.addmm(
            output.flatten(0, 1), reads.flatten(0, 1).to(output.dtype), self._cast[head].t(),
            alpha=config.alpha / config.rank * strength,
        )  # fmt: skip
        return flat.view_as(output)

    def _is_plain(self) -> bool:
        config = self.config
        return config.couple_lambda and config.normalize_qk and config.state_update_mode == "standard"

    def _turn(self, x: Tensor, state: Tensor, segments: TurnSegments) -> tuple[Tensor, Tensor]:
        if not self._is_plain():
            raise ConfigError("message writes are trained with coupled gates, normalised keys and the standard update")
        weight, bias = self._packed()
        function = _fused_message_turn() if x.is_cuda else message_turn
        return function(x, state, *segments, self.memory_q_proj, weight, bias)


def message_turn(x, state, weights, present, late, query, weight, bias) -> tuple[Tensor, Tensor]:
    """Reads [B, T, H * r] before and after the question's write, and the state after the reply's.

    x: [B, T, hidden]; state: [B, H, r, r]; the next three as in TurnSegments; query, weight, bias: projections.
    """
    heads, rank = state.shape[1:3]
    x = x.float()
    q = _unit(F.linear(x, query).unflatten(-1, (heads, rank)).transpose(1, 2))  # [B, H, T, r]
    joint = F.linear(weights @ x, weight, bias).unflatten(-1, (4, heads, rank))  # [B, 2, 4, H, r]
    k, v, beta = _unit(joint[:, :, 1]), joint[:, :, 2], torch.sigmoid(joint[:, :, 3])
    beta = torch.where(present[:, :, None, None], beta, 0.0)
    states = [state]
    for i in range(2):
        recalled = (states[-1] * k[:, i, :, None, :]).sum(-1)
        written = (beta[:, i] * (v[:, i] - recalled))[..., None] * k[:, i, :, None, :]
        states.append((1.0 - beta[:, i])[..., None] * states[-1] + written)
    early, fresh = (q @ s.transpose(-1, -2) for s in states[:2])
    reads = torch.where(late[:, None, :, None], fresh, early)
    return reads.transpose(1, 2).flatten(2), states[2]


def queries(layers: dict[str, TrainingLayer], inputs: dict[str, Tensor], positions: Tensor) -> Tensor:
    """What the layers ask their states at `positions` [B, N]: [B, L, H, N, r]; inputs: their x [B, T, hidden]."""
    raw = []
    for name, layer in layers.items():
        x = inputs[name]
        raw.append(layer.raw_queries(x.gather(1, positions[..., None].expand(-1, -1, x.shape[-1]))))
    return layer._normalised(torch.stack(raw, dim=1))


@cache
def _fused_message_turn():
    return torch.compile(message_turn, dynamic=True)


def _unit(x: Tensor) -> Tensor:
    x = torch.tanh(x)
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-6)


def trained(adapter):
    """The adapter with every layer a `TrainingLayer` (the same object and weights)."""
    for layer in adapter.layers.values():
        layer.__class__ = TrainingLayer
    return adapter
