"""The definition of what lies between projections and attention of a decoding step, put together from its parts."""

from typing import NamedTuple

from torch import Tensor

from ..decode_step.naive import decode_step_naive
from ..rms_norm.naive import rms_norm_naive
from ..rotary.naive import HeadNorms, rotary_naive


class MemoryStep(NamedTuple):
    """A memory's step in one layer, as in `decode_step_naive`, whose arguments these are.

    weight, scale: steer the queries; both None when the memory does not.
    """

    packed: Tensor
    state: Tensor
    after: Tensor
    write: Tensor | None = None
    normalize_qk: bool = True
    update: str = "standard"
    weight: Tensor | None = None
    scale: Tensor | None = None


def attention_inputs_naive(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    places: Tensor,
    turn: tuple[Tensor, Tensor] | None = None,
    norms: HeadNorms | None = None,
    memory: MemoryStep | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Steer the queries, norm and turn the heads, put keys and values into the cache, step the memory.

    Args:
        q, k, v: [B, Hq * D], [B, Hkv * D] twice: outputs of the projections for one token of each row. They may be
            changed.
        keys, values: [B, Hkv, L, D] caches of the same dtype, the last dimension contiguous; written in place.
        places: [B] int64, where in each row's cache the token goes.
        turn: (cos, sin), each [B, D] in q's dtype, of the rotary positions; None: the layer has none.
        norms: RMS norms of the heads before they are turned.
        memory: the step of a memory; its `after` must be a buffer of its own.

    Returns:
        The queries [B, Hq, D], and the memory's reads [B, H * r] float32 (None without memory).
    """
    reads = None
    if memory is not None:
        steered = {}
        if memory.weight is not None:
            steered = {"steered": q, "weight": memory.weight, "scale": memory.scale}
        reads, _ = decode_step_naive(
            memory.packed,
            memory.state,
            memory.after,
            normalize_qk=memory.normalize_qk,
            update=memory.update,
            write=memory.write,
            **steered,
        )
    heads = keys.shape[1:4:2]
    q, k, v = q.view(len(q), -1, heads[1]), k.view(len(k), *heads), v.view(len(v), *heads)
    if turn is not None:
        q, k = rotary_naive(q, k, *turn, norms)
    elif norms is not None:
        q, k = rms_norm_naive(q, norms.q, norms.eps), rms_norm_naive(k, norms.k, norms.eps)
    index = places[:, None, None, None].expand(-1, *heads[:1], 1, *heads[1:])
    keys.scatter_(2, index, k[:, :, None])
    values.scatter_(2, index, v[:, :, None])
    return q, reads


def check_inputs(q, k, v, keys, values, places) -> None:
    """Raise ValueError unless the arguments fit."""
    batch, kv_heads, _, dim = keys.shape
    fits = keys.shape == values.shape and k.shape == v.shape == (batch, kv_heads * dim)
    if not fits or q.shape[0] != batch or q.shape[1] % (kv_heads * dim) or tuple(places.shape) != (batch,):
        raise ValueError(
            f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)} and places {list(places.shape)} do not fit the "
            f"cache {list(keys.shape)}; give [B, Hq * D], twice [B, Hkv * D] and [B] for caches [B, Hkv, L, D]"
        )
