"""The definition of a single-token step: gates, read, write, and the correction of one projection."""

import torch
from torch import Tensor

UPDATES = ("standard", "lambda_outside", "no_lambda")


def decode_step_naive(
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
    """Read the state for one token of every batch row, then write the token into it.

    Args:
        packed: [B, P] float32, the token's memory projections with their biases: q, k, v, beta and, when P is
            5 * H * r instead of 4 * H * r, lambda (which is 1 - beta otherwise), each [H * r] with one gate per state
            row. May be a view whose last dimension is contiguous.
        state: [B, H, r, r] float32, r up to 64, rows indexed like v, columns like k.
        after: [B, H, r, r] float32, contiguous, to put the new state into; a fresh tensor by default. `state` itself
            will do as long as nothing is steered; otherwise the fast form reads the state while it is being replaced.
        normalize_qk: tanh and L2 norm on q and k of each head.
        update: "standard"; "lambda_outside" erases by lambda * beta; "no_lambda" keeps everything (keep = 1).
        write: [B] bool or integer on the device, or None (all): where 0 the row's state stays as it is, bit for bit.
        steered, weight, scale: [B, N] in any floating dtype, [N, H * r] float32 and [B] float32: adds
            scale[b] * (weight @ reads[b]) to `steered` IN PLACE, rounded once. A row of scale 0 stays as it is, bit
            for bit. Give all three or none.

    Returns:
        reads [B, H * r] float32, and `after`.

    Raises:
        ValueError: shapes or dtypes that do not fit, an unknown update, `after` shared with `state` while steering.
    """
    coupled = check_step(packed, state, after, update, steered, weight, scale)
    batch, heads, rank, _ = state.shape
    parts = packed.float().view(batch, -1, heads, rank).unbind(1)
    q, k, v, beta = parts[0], parts[1], parts[2], torch.sigmoid(parts[3])
    lam = 1.0 - beta if coupled else torch.sigmoid(parts[4])
    if normalize_qk:
        q, k = (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-6) for x in (q.tanh(), k.tanh()))
    keep = torch.ones_like(lam) if update == "no_lambda" else lam
    erase = lam * beta if update == "lambda_outside" else beta
    reads = (state @ q[..., None]).squeeze(-1)
    change = beta * v - erase * (state @ k[..., None]).squeeze(-1)
    new = keep[..., None] * state + change[..., None] * k[..., None, :]
    if write is not None:
        new = torch.where(write.bool()[:, None, None, None], new, state)
    reads = reads.flatten(1)
    if steered is not None:
        corrected = (steered.float() + scale[:, None] * (reads @ weight.T)).to(steered.dtype)
        steered.copy_(torch.where(scale[:, None] == 0, steered, corrected))
    if after is None:
        return reads, new
    return reads, after.copy_(new)


def check_step(packed, state, after, update, steered, weight, scale) -> bool:
    """Raise ValueError unless the arguments fit; returns whether lambda is 1 - beta."""
    batch, heads, rank, _ = state.shape
    width = heads * rank
    if packed.shape[0] != batch or packed.shape[1] not in (4 * width, 5 * width):
        raise ValueError(
            f"packed is {list(packed.shape)} but the state is {list(state.shape)}; "
            f"give [{batch}, {4 * width}], or [{batch}, {5 * width}] with lambda"
        )
    for name, x in (("packed", packed), ("state", state)):
        if x.dtype != torch.float32:
            raise ValueError(f"{name} is {x.dtype}; the memory's arithmetic is float32, convert it first")
    if after is not None and (after.shape != state.shape or not after.is_contiguous()):
        raise ValueError(f"after is {list(after.shape)}; give a contiguous buffer of {list(state.shape)}")
    if update not in UPDATES:
        raise ValueError(f"update is {update!r}; use one of {', '.join(UPDATES)}")
    if steered is not None:
        if after is state:
            raise ValueError(
                "a step that steers reads the state while it is replaced; give `after` a buffer of its own"
            )
        if weight is None or scale is None or weight.shape != (steered.shape[-1], width) or scale.shape != (batch,):
            raise ValueError(f"steering [{batch}, N] needs a weight [N, {width}] and a scale [{batch}]")
    return packed.shape[1] == 4 * width
