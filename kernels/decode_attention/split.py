"""Decode attention in one launch: the cache of a row and KV head is cut into parts, the last part to end joins them.

The number of programs is fixed by the workspace. Parts are cut from the row's length as it stands on the device; parts
that get nothing leave at once. All query heads of a KV head read it together.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device_of
from ..overlap import let_next_begin, overlap, wait
from .naive import check_attention
from .workspace import BLOCK, Workspace, new_workspace

DIMS = (16, 32, 64, 128, 256)
LOG2E = 1.4426950408889634


@triton.jit
def _attention_kernel(
    q_ptr, k_ptr, v_ptr, lengths_ptr, out_ptr, part_ptr, sums_ptr, arrived_ptr,
    q_b, q_h, k_b, k_h, k_l, v_b, v_h, v_l, scale,
    KV_HEADS: tl.constexpr, G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr,
    SPLITS: tl.constexpr, BLOCK: tl.constexpr, JOIN: tl.constexpr, TOGETHER: tl.constexpr,
    STAGES: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """One part of one row's KV head, read for all G query heads that share it; the last part to end joins all."""
    let_next_begin(OVERLAP)
    wait(OVERLAP)
    group, split = tl.program_id(0), tl.program_id(1)
    row, kv_head = (group // KV_HEADS).to(tl.int64), group % KV_HEADS
    length = tl.load(lengths_ptr + row)
    blocks = tl.cdiv(length, BLOCK)
    share = tl.maximum(tl.cdiv(blocks, SPLITS), 1)
    parts = tl.maximum(tl.cdiv(blocks, share), 1)
    if split >= parts:
        return

    heads, dims, places = tl.arange(0, GP), tl.arange(0, D), tl.arange(0, BLOCK)
    inside = (heads < G)[:, None]
    q = tl.load(q_ptr + row * q_b + (kv_head * G + heads)[:, None] * q_h + dims[None, :], mask=inside, other=0.0)
    k_ptr += row * k_b + kv_head * k_h
    v_ptr += row * v_b + kv_head * v_h
    top = tl.full([GP], float("-inf"), tl.float32)
    total = tl.zeros([GP], tl.float32)
    sums = tl.zeros([GP, D], tl.float32)
    for block in tl.range(split * share, tl.minimum((split + 1) * share, blocks), num_stages=STAGES):
        at = (block * BLOCK + places).to(tl.int64)
        valid = at < length
        k = tl.load(k_ptr + at[None, :] * k_l + dims[:, None], mask=valid[None, :], other=0.0)
        v = tl.load(v_ptr + at[:, None] * v_l + dims[None, :], mask=valid[:, None], other=0.0)
        scores = tl.dot(q, k, input_precision="tf32x3") * scale
        scores = tl.where(valid[None, :], scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp2(scores - new_top[:, None])
        shrink = tl.exp2(top - new_top)
        total = total * shrink + tl.sum(weights, axis=1)
        sums = tl.dot(weights.to(v.dtype), v, sums * shrink[:, None], input_precision="tf32x3")
        top = new_top

    first = group * G  # of the query heads, counted through the batch
    slot = (first + heads) * SPLITS + split
    tl.store(part_ptr + slot[:, None] * D + dims[None, :], sums, mask=inside)
    tl.store(sums_ptr + slot * 2, top, mask=heads < G)
    tl.store(sums_ptr + slot * 2 + 1, total, mask=heads < G)
    tl.debug_barrier()  # every thread's part is on its way before the program counts as done
    if tl.atomic_add(arrived_ptr + group, 1, sem="acq_rel") != parts - 1:
        return

    tl.store(arrived_ptr + group, 0)
    part = tl.arange(0, JOIN)
    there = part < parts
    for start in tl.static_range(0, G, TOGETHER):
        # All on their way at once, and past the L1 cache, which does not see what other programs wrote.
        loaded = ()
        for head in tl.static_range(start, min(start + TOGETHER, G)):
            place = (first + head) * SPLITS + part
            tops = tl.load(sums_ptr + place * 2, mask=there, other=float("-inf"), cache_modifier=".cg")
            totals = tl.load(sums_ptr + place * 2 + 1, mask=there, other=0.0, cache_modifier=".cg")
            outputs = tl.load(
                part_ptr + place[:, None] * D + dims[None, :], mask=there[:, None], other=0.0, cache_modifier=".cg"
            )
            loaded = loaded + ((tops, totals, outputs),)
        for head in tl.static_range(start, min(start + TOGETHER, G)):
            tops, totals, outputs = loaded[head - start]
            highest = tl.max(tops, axis=0)
            highest = tl.where(highest == float("-inf"), 0.0, highest)  # a row of length 0 has no maximum
            shares = tl.exp2(tops - highest)
            whole = tl.sum(totals * shares, axis=0)
            result = tl.sum(outputs * shares[:, None], axis=0) / tl.where(whole == 0.0, 1.0, whole)
            tl.store(out_ptr + (first + head) * D + dims, result.to(out_ptr.dtype.element_ty))


def decode_attention_split(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lengths: Tensor,
    scale: float | None = None,
    workspace: Workspace | None = None,
) -> Tensor:
    """Attention on a GPU (or under TRITON_INTERPRET=1). Arguments as in `decode_attention`."""
    check_attention(q, k, v, lengths)
    batch, heads, dim = q.shape
    kv_heads = k.shape[1]
    if dim not in DIMS:
        raise ValueError(f"heads have {dim} dimensions; the kernel takes {DIMS}, use the dispatcher or the plain form")
    if workspace is None:
        workspace = new_workspace(batch, heads, kv_heads, dim, q.device)
    workspace.check(batch, heads, kv_heads, dim)
    group = heads // kv_heads
    row_bytes = dim * k.element_size()
    join = triton.next_power_of_2(workspace.splits)
    out = torch.empty(batch, heads, dim, dtype=q.dtype, device=q.device)
    with on_device_of(q):
        _attention_kernel[(batch * kv_heads, workspace.splits)](
            q, k, v, lengths, out, *workspace,
            q.stride(0), q.stride(1), *k.stride()[:3], *v.stride()[:3],
            (dim**-0.5 if scale is None else scale) * LOG2E,
            KV_HEADS=kv_heads, G=group, GP=max(16, triton.next_power_of_2(group)), D=dim, BLOCK=BLOCK,
            SPLITS=workspace.splits, JOIN=join, TOGETHER=max(1, 8192 // (join * dim)), num_warps=4,
            STAGES=4 if row_bytes <= 256 else 2 if row_bytes <= 512 else 1,  # what shared memory holds
            **overlap(q),
        )  # fmt: skip
    return out
