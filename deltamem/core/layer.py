"""The arithmetic of one layer's memory: project, read, write, steer. Always in float32."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deltamem.kernels.affine_scan import affine_scan
from deltamem.kernels.decode_step import decode_step
from deltamem.kernels.launch import wants_gradients
from deltamem.kernels.project import project
from deltamem.kernels.steer import steer

from .config import HEADS, HFDeltaMemConfig
from .plan import Plan


class LayerShape(NamedTuple):
    """Widths of one attention module: its input, and the outputs of its four projections."""

    hidden: int
    q: int
    k: int
    v: int
    o: int


class Gates(NamedTuple):
    """Gates of one pass over a layer: write gate beta and keep gate lambda [B, H, N, r], written [B, N] or None."""

    beta: Tensor
    lam: Tensor
    written: Tensor | None


def tensor_shapes(config: HFDeltaMemConfig, shape: LayerShape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a layer's published tensors. All four heads are stored, inactive ones as zeros."""
    width, gates = config.width, config.gate_width
    shapes: dict[str, tuple[int, ...]] = {f"memory_{name}_proj": (width, shape.hidden) for name in "qkv"}
    shapes |= {f"delta_{head}_proj": (getattr(shape, head), width) for head in HEADS}
    shapes |= {"beta_proj": (gates, shape.hidden), "beta_bias": (gates,)}
    if not config.couple_lambda:
        shapes |= {"lambda_proj": (gates, shape.hidden), "lambda_bias": (gates,)}
    if config.delta_o_rmsnorm:
        shapes["delta_o_rmsnorm_weight"] = (shape.o,)
    if config.trainable_delta_scale:
        shapes["delta_scale_raw"] = (len(HEADS) if config.delta_scale_granularity == "head" else 1,)
    return shapes


class DeltaMemLayer(nn.Module):
    """Weights and arithmetic of the memory attached to one attention module.

    Parameters are float32 and named as in the adapter file; steering weights of inactive heads have none. Casting the
    module (for example by casting the backbone it hangs on) moves it but leaves its numbers float32.
    """

    def __init__(self, config: HFDeltaMemConfig, shape: LayerShape, device: torch.device | str | None = None):
        super().__init__()
        self.config = config
        self.shape = shape
        for name, size in tensor_shapes(config, shape).items():
            if self.is_active(name):
                self.register_parameter(name, nn.Parameter(torch.zeros(size, dtype=torch.float32, device=device)))
        self._joined = ["memory_q_proj", "memory_k_proj", "memory_v_proj", "beta_proj", "beta_bias"]
        if not config.couple_lambda:
            self._joined += ["lambda_proj", "lambda_bias"]
        self._pack: tuple[list, Tensor, Tensor] | None = None

    def is_active(self, name: str) -> bool:
        """Whether a published tensor takes part in the arithmetic."""
        inactive = [f"delta_{head}_proj" for head in HEADS if head not in self.config.delta_heads]
        return name not in inactive

    def _apply(self, fn, recurse: bool = True):
        def move_only(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        self._pack = None
        return super()._apply(move_only, recurse)

    def forward(
        self, x: Tensor, state: Tensor, plan: Plan, with_gates: bool = True
    ) -> tuple[Tensor, Tensor, Gates | None]:
        """Read for every token, and write what the plan says.

        Args:
            x: [B, T, hidden], the attention module's input, any floating dtype.
            state: [B, H, r, r] float32.
            plan: which tokens count and which are written.
            with_gates: whether the gates are of interest.

        Returns:
            reads [B, T, H * r] (0 for tokens that are not valid), the state after the pass (the same tensor when
            nothing is written), and the gates of what was written (None when nothing was, or without interest).
        """
        # Tokens that are not valid count as zeros from here on: whatever a padded position holds, NaN included, stays
        # out of the state and of every gradient. Their query is 0, so they read 0.
        if not plan.write:
            queries = project(x, self.memory_q_proj, None, plan.invalid)
            reads = self._normalised(self._by_head(queries)[0]) @ state.transpose(-1, -2)
            return reads.transpose(1, 2).flatten(2), state, None
        packed = project(x, *self._packed(), plan.invalid)
        written = plan.written if plan.segments is None else plan.segments.present
        if plan.segments is None and x.shape[1] == 1 and not wants_gradients(packed, state):
            reads, state = decode_step(
                packed[:, 0],
                state,
                normalize_qk=self.config.normalize_qk,
                update=self.config.state_update_mode,
                write=None if written is None else written[:, 0],
            )
            reads = reads[:, None]
        elif plan.segments is None:
            reads, state = self._scan(packed, state, written)
            reads = reads.transpose(1, 2).flatten(2)
        else:
            queries = self._by_head(packed)[0]
            reads = (self._normalised(queries) @ state.transpose(-1, -2)).transpose(1, 2).flatten(2)
            packed = plan.segments.weights @ packed  # the projections of the means
            _, state = self._scan(packed, state, written)
        return reads, state, self._gates(packed, written) if with_gates else None

    def steer(self, head: str, output: Tensor, reads: Tensor, strength: float = 1.0) -> Tensor:
        """A projection's output with the memory's correction added.

        Args:
            head: "q", "k", "v" or "o".
            output: [B, T, width of the projection].
            reads: [B, T, H * r] float32, from `forward`.
            strength: factor on the finished correction.
        """
        config = self.config
        weight, factor = self._parameters[f"delta_{head}_proj"], config.alpha / config.rank
        if config.trainable_delta_scale:
            index = HEADS.index(head) if config.delta_scale_granularity == "head" else 0
            weight = weight * (torch.sigmoid(self.delta_scale_raw[index]) * config.delta_scale_max)
        if head != "o" or not config.delta_o_rmsnorm:
            return steer(output, reads, weight, factor * strength)
        delta = F.linear(reads, weight) * factor
        mean_square = delta.square().mean(dim=-1, keepdim=True)
        delta = delta * torch.rsqrt(mean_square + config.delta_o_rmsnorm_eps) * self.delta_o_rmsnorm_weight
        return (output + strength * delta).to(output.dtype)

    def _by_head(self, packed: Tensor) -> Tensor:
        """[B, T, P] -> [P / (H * r), B, H, T, r]: q, k, v, and the gates' arguments beta and, uncoupled, lambda."""
        split = packed.unflatten(-1, (-1, self.config.num_state_heads, self.config.rank))
        return split.permute(2, 0, 3, 1, 4)

    def _normalised(self, qk: Tensor) -> Tensor:
        if not self.config.normalize_qk:
            return qk
        qk = torch.tanh(qk)
        return qk / torch.linalg.vector_norm(qk, dim=-1, keepdim=True).clamp_min(1e-6)

    def _gates(self, packed: Tensor, written: Tensor | None) -> Gates:
        gates = torch.sigmoid(self._by_head(packed)[3:])
        return Gates(gates[0], 1.0 - gates[0] if self.config.couple_lambda else gates[1], written)

    def _scan(self, packed: Tensor, state: Tensor, written: Tensor | None) -> tuple[Tensor, Tensor]:
        """Reads [B, H, T, r] and new state over packed projections [B, T, P]."""
        parts = self._by_head(packed)
        q, k = self._normalised(parts[:2]).unbind()
        beta, lam, _ = self._gates(packed, written)
        mode = self.config.state_update_mode
        keep = torch.ones_like(lam) if mode == "no_lambda" else lam
        erase = lam * beta if mode == "lambda_outside" else beta
        write = beta
        if written is not None:
            chosen = written[:, None, :, None]
            keep, erase, write = (torch.where(chosen, x, rest) for x, rest in ((keep, 1.0), (erase, 0.0), (write, 0.0)))
        return affine_scan(q, k, parts[2], keep, erase, write, state)

    def _packed(self) -> tuple[Tensor, Tensor]:
        """The projections as one matrix [(4 or 5) * H * r, hidden] and bias: q, k, v, beta and, uncoupled, lambda."""
        tensors = self._parameters
        if any(tensors[name].requires_grad for name in self._joined):
            return self._join()
        # Frozen: join once, again only when a tensor was changed or replaced.
        key = [(id(tensors[name]), tensors[name]._version) for name in self._joined]
        if self._pack is None or self._pack[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                self._pack = (key, *self._join())
        return self._pack[1:]

    def _join(self) -> tuple[Tensor, Tensor]:
        tensors = [self._parameters[name] for name in self._joined]
        if not self.config.rankwise_gates:  # one gate a head: the same row for each of its r
            tensors[3:] = [tensor.repeat_interleave(self.config.rank, dim=0) for tensor in tensors[3:]]
        weights, biases = [t for t in tensors if t.ndim == 2], [t for t in tensors if t.ndim == 1]
        return torch.cat(weights), torch.cat([weights[0].new_zeros(3 * self.config.width), *biases])
