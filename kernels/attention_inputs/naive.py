"""The definition of what lies between projections and attention of a decoding step, put together from its parts."""

from typing import NamedTuple

from torch import Tensor

from ..decode_step.naive import check_step, decode_step_naive
from .heads import HeadNorms, turn_heads


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

    Raises:
        ValueError: shapes or dtypes that do not fit together, `after` shared with the state.
    """
    check_inputs(q, k, v, keys, values, places, memory)
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
    batch, kv_heads, _, dim = keys.shape
    q, k, v = q.view(batch, -1, dim), k.view(batch, kv_heads, dim), v.view(batch, kv_heads, dim)
    q, k = turn_heads(q, k, turn, norms)
    index = places[:, None, None, None].expand(-1, kv_heads, 1, dim)
    keys.scatter_(2, index, k[:, :, None])
    values.scatter_(2, index, v[:, :, None])
    return q, reads


def check_inputs(q, k, v, keys, values, places, memory) -> None:
    """Raise ValueError unless the arguments fit."""
    batch, kv_heads, _, dim = keys.shape
    fits = keys.shape == values.shape and k.shape == v.shape == (batch, kv_heads * dim)
    if not fits or q.shape[0] != batch or q.shape[1] % (kv_heads * dim) or tuple(places.shape) != (batch,):
        raise ValueError(
            f"q {list(q.shape)}, k {list(k.shape)}, v {list(v.shape)} and places {list(places.shape)} do not fit the "
            f"cache {list(keys.shape)}; give [B, Hq * D], twice [B, Hkv * D] and [B] for caches [B, Hkv, L, D]"
        )
    if len({x.dtype for x in (q, k, v, keys, values)}) > 1:
        raise ValueError(f"q, k, v are {q.dtype}, {k.dtype}, {v.dtype} and the cache is {keys.dtype}; give one dtype")
    if memory is not None:
        steered = None if memory.weight is None else q
        check_step(memory.packed, memory.state, memory.after, memory.update, steered, memory.weight, memory.scale)
        if memory.after is memory.state:
            raise ValueError("the state is read while it is replaced; give `after` a buffer of its own")
