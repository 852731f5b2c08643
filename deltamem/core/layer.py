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
        self._pack: tuple[tuple, Tensor, Tensor] | None = None

    def is_active(self, name: str) -> bool:
        """Whether a published tensor takes part in the arithmetic."""
        inactive = [f"delta_{head}_proj" for head in HEADS if head not in self.config.delta_heads]
        return name not in inactive

    def _apply(self, fn, recurse: bool = True):
        def move_only(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

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
        delta = F.linear(reads, getattr(self, f"delta_{head}_proj")) * self._factor(head)
        if head == "o" and self.config.delta_o_rmsnorm:
            mean_square = delta.square().mean(dim=-1, keepdim=True)
            delta = delta * torch.rsqrt(mean_square + self.config.delta_o_rmsnorm_eps) * self.delta_o_rmsnorm_weight
        if strength != 1.0:
            delta = delta * strength
        return output + delta.to(output.dtype)

    def _factor(self, head: str) -> float | Tensor:
        factor = self.config.alpha / self.config.rank
        if not self.config.trainable_delta_scale:
            return factor
        index = HEADS.index(head) if self.config.delta_scale_granularity == "head" else 0
        return torch.sigmoid(self.delta_scale_raw[index]) * (self.config.delta_scale_max * factor)

    def _query(self, x: Tensor) -> Tensor:
        q = F.linear(x, self.memory_q_proj).unflatten(-1, (self.config.num_state_heads, self.config.rank))
        if self.config.normalize_qk:
            q = F.normalize(torch.tanh(q), dim=-1, eps=1e-6)
        return q.transpose(1, 2)

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k, v, beta, lambda, each [B, H, T, r], of inputs [B, T, hidden]."""
        config = self.config
        H, r, width = config.num_state_heads, config.rank, config.width
        weight, bias = self._packed()
        joint = F.linear(x, weight, bias)
        qk = joint[..., : 2 * width].unflatten(-1, (2, H, r))
        if config.normalize_qk:
            qk = F.normalize(torch.tanh(qk), dim=-1, eps=1e-6)
        q, k = qk.transpose(1, 3).unbind(2)
        v = joint[..., 2 * width : 3 * width].unflatten(-1, (H, r)).transpose(1, 2)
        gates = torch.sigmoid(joint[..., 3 * width :]).unflatten(-1, (-1, H, config.gate_width // H))
        gates = gates.transpose(1, 3).expand(-1, -1, -1, -1, r)
        beta = gates[:, :, 0]
        return q, k, v, beta, (1.0 - beta if config.couple_lambda else gates[:, :, 1])

    def _scan(
        self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, lam: Tensor, state: Tensor, written: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        mode = self.config.state_update_mode
        keep = torch.ones_like(lam) if mode == "no_lambda" else lam
        erase = lam * beta if mode == "lambda_outside" else beta
        write = beta
        if written is not None:
            chosen = written[:, None, :, None]
            keep = torch.where(chosen, keep, 1.0)
            erase = write = torch.where(chosen, erase, 0.0)
            if mode == "lambda_outside":
                write = torch.where(chosen, beta, 0.0)
        return affine_scan(q, k, v, keep, erase, write, state)

    def _packed(self) -> tuple[Tensor, Tensor]:
        """The projections as one matrix and bias: [q; k; v; beta; lambda], each of q, k, v of H * r rows."""
        weights = [self.memory_q_proj, self.memory_k_proj, self.memory_v_proj, self.beta_proj]
        biases = [self.beta_bias]
        if not self.config.couple_lambda:
            weights.append(self.lambda_proj)
            biases.append(self.lambda_bias)
        if any(tensor.requires_grad for tensor in weights + biases):
            return self._join(weights, biases)
        # Frozen: join once, again only when a tensor was changed or moved.
        key = tuple((tensor.data_ptr(), tensor._version) for tensor in weights + biases)
        if self._pack is None or self._pack[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                self._pack = (key, *self._join(weights, biases))
        return self._pack[1:]

    def _join(self, weights: list[Tensor], biases: list[Tensor]) -> tuple[Tensor, Tensor]:
        return torch.cat(weights), torch.cat([weights[0].new_zeros(3 * self.config.width), *biases])
