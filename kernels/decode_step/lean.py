"""The single-token step in as few PyTorch calls as possible, for CPUs, where each call costs more than its arithmetic.

Same contract as `decode_step_naive`; no gradients.
"""

import torch
from torch import Tensor

from .naive import check_step


def decode_step_lean(
    packed: Tensor,
    state: Tensor,
    after: Tensor | None = None,
    *,
    normalize_qk: bool = True,
    update: str = "standard",
    write: Tensor | None = None,
    steered: Tensor | None = None,
    weight: Tensor | None = None,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Read and write one token. Arguments and results as in `decode_step_naive`."""
    coupled = check_step(packed, state, after, update, steered, weight, scale)
    batch, heads, rank, _ = state.shape
    parts = packed.view(batch, -1, heads, rank)
    qk = parts[:, :2]
    if normalize_qk:
        qk = torch.tanh(qk)
        qk.div_(torch.linalg.vector_norm(qk, dim=-1, keepdim=True).clamp_min_(1e-6))
    beta = torch.sigmoid(parts[:, 3])
    reads, recalled = torch.matmul(qk.transpose(1, 2), state.transpose(-1, -2)).unbind(2)  # each [B, H, r]
    v, k = parts[:, 2], qk[:, 1].unsqueeze(-2)
    if coupled and update == "standard":
        # keep S - erase (S k) kᵀ + write v kᵀ, with keep = 1 - beta and erase = write = beta
        new = torch.lerp(state, (v - recalled).unsqueeze(-1) * k, beta.unsqueeze(-1))
    else:
        lam = 1.0 - beta if coupled else torch.sigmoid(parts[:, 4])
        erase = lam * beta if update == "lambda_outside" else beta
        kept = state if update == "no_lambda" else lam.unsqueeze(-1) * state
        new = torch.addcmul(kept, (beta * v - erase * recalled).unsqueeze(-1), k)
    if write is not None:
        new = torch.where(write.bool()[:, None, None, None], new, state)
    reads = reads.reshape(batch, heads * rank)
    if steered is not None:
        scaled = (reads * scale[:, None]).masked_fill_(scale[:, None] == 0, 0.0)  # infinities too
        if steered.dtype == torch.float32:
            steered.addmm_(scaled, weight.T)
        else:
            steered.copy_(torch.addmm(steered.float(), scaled, weight.T))
    return reads, new if after is None else after.copy_(new)
