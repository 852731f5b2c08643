"""The arithmetic of one layer's memory: project, read, write, steer. Always in float32."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deltamem.kernels.affine_scan import affine_scan

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

    def forward(self, x: Tensor, state: Tensor, plan: Plan) -> tuple[Tensor, Tensor, Gates | None]:
        """Read for every token, and write what the plan says.

        Args:
            x: [B, T, hidden], the attention module's input, any floating dtype.
            state: [B, H, r, r] float32.
            plan: which tokens count and which are written.

        Returns:
            reads [B, T, H * r] (0 for tokens that are not valid), the state after the pass (the same tensor when
            nothing is written), and the gates of what was written (None when nothing was).
        """
        x = x.float()
        if plan.invalid is not None:
            # Also keeps whatever a padded position holds, NaN included, out of the state and of every gradient. Its
            # query becomes 0, so it reads 0.
            x = x.masked_fill(plan.invalid, 0.0)
        gates = None
        if plan.write and plan.segments is None:
            q, k, v, beta, lam = self._project(x)
            reads, state = self._scan(q, k, v, beta, lam, state, plan.written)
            gates = Gates(beta, lam, plan.written)
        else:
            reads = self._query(x) @ state.transpose(-1, -2)
            if plan.write and plan.segments is not None:
                q, k, v, beta, lam = self._project(plan.segments.weights @ x)
                _, state = self._scan(q, k, v, beta, lam, state, plan.segments.present)
                gates = Gates(beta, lam, plan.segments.present)
        return reads.transpose(1, 2).flatten(2), state, gates

    def steer(self, head: str, output: Tensor, reads: Tensor, strength: float = 1.0) -> Tensor:
        """A projection's output with the memory's correction added.

        Args:
            head: "q", "k", "v" or "o".
            output: [B, T, width of the projection].
            reads: [B, T, H * r] float32, from `forward`.
            strength: factor on the finished correction.
        """
        config = self.config
        delta = F.linear(reads, self._parameters[f"delta_{head}_proj"])
        factor = config.alpha / config.rank
        if config.trainable_delta_scale:
            index = HEADS.index(head) if config.delta_scale_granularity == "head" else 0
            delta = delta * (torch.sigmoid(self.delta_scale_raw[index]) * (config.delta_scale_max * factor))
            factor = 1.0
        if head == "o" and config.delta_o_rmsnorm:
            delta = delta * factor
            mean_square = delta.square().mean(dim=-1, keepdim=True)
            delta = delta * torch.rsqrt(mean_square + config.delta_o_rmsnorm_eps) * self.delta_o_rmsnorm_weight
            factor = 1.0
        if output.dtype != delta.dtype:
            return output + (delta * (factor * strength)).to(output.dtype)
        return torch.add(output, delta, alpha=factor * strength)

    def _query(self, x: Tensor) -> Tensor:
        """Memory queries [B, H, T, r] of inputs [B, T, hidden]."""
        q = F.linear(x, self.memory_q_proj).unflatten(-1, (self.config.num_state_heads, self.config.rank))
        return self._normalised(q).transpose(1, 2)

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k, v, beta, lambda, each [B, H, T, r], of inputs [B, T, hidden]."""
        weight, bias = self._packed()
        joint = F.linear(x, weight, bias).unflatten(-1, (-1, self.config.num_state_heads, self.config.rank))
        joint = joint.permute(2, 0, 3, 1, 4)  # [4 or 5, B, H, T, r]
        q, k = self._normalised(joint[:2]).unbind()
        gates = torch.sigmoid(joint[3:])
        beta = gates[0]
        return q, k, joint[2], beta, (1.0 - beta if self.config.couple_lambda else gates[1])

    def _normalised(self, qk: Tensor) -> Tensor:
        if not self.config.normalize_qk:
            return qk
        qk = torch.tanh(qk)
        return qk / torch.linalg.vector_norm(qk, dim=-1, keepdim=True).clamp_min(1e-6)

    def _scan(
        self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, lam: Tensor, state: Tensor, written: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        mode = self.config.state_update_mode
        keep = torch.ones_like(lam) if mode == "no_lambda" else lam
        erase = lam * beta if mode == "lambda_outside" else beta
        write = beta
        if written is not None:
            chosen = written[:, None, :, None]
            keep, erase, write = (torch.where(chosen, x, rest) for x, rest in ((keep, 1.0), (erase, 0.0), (write, 0.0)))
        return affine_scan(q, k, v, keep, erase, write, state)

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
