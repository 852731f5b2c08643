"""The attention of engine passes, by way of transformers' attention interface. No mask is ever made for it."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch.nn.functional as F
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface

from deltamem.kernels.decode_attention import decode_attention

NAME = "deltamem"  # unknown to AttentionMaskInterface, which is how transformers is told to make no mask
_STEP = ContextVar("deltamem_decoding_step", default=None)


def attend(module, query, key, value, attention_mask, scaling=None, **_):
    """Causal attention of query [B, Hq, T, D] at the end of key, value [B, Hkv, L, D] -> [B, T, Hq, D].

    In a decoding step T is 1 and each row ends where the step says. Else all rows end together.
    """
    step = _STEP.get()
    if step is not None:
        return step.attend(query, key, value, scaling), None
    tokens, whole = query.shape[2], key.shape[2]
    grouped = {"scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    if tokens == 1:
        out = F.scaled_dot_product_attention(query, key, value, **grouped)
    elif tokens == whole:
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, **grouped)
    else:
        out = F.scaled_dot_product_attention(query, key, value, causal_lower_right(tokens, whole), **grouped)
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, attend)


@contextmanager
def engine_attention(config, step=None):
    """Passes inside the block use `attend`; with a step, they are decoding steps. The model must be locked."""
    before, token = config._attn_implementation, _STEP.set(step)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _STEP.reset(token)


def attend_on_gpu(query, key, value, lengths, scaling, workspace):
    """[B, Hq, 1, D] over each row's first lengths[b] places -> [B, 1, Hq, D]."""
    return decode_attention(query[:, :, 0], key, value, lengths, scaling, workspace=workspace)[:, None]


def attend_on_cpu(query, key, value, inside, scaling):
    """The same through SDPA. inside: bool [B, 1, 1, L], or None when every row fills all places.

    The heads that share a key are taken as tokens of one head, so that no key is copied.
    """
    batch, heads, _, dim = query.shape
    grouped = query.reshape(batch, key.shape[1], heads // key.shape[1], dim)
    out = F.scaled_dot_product_attention(grouped, key, value, attn_mask=inside, scale=scaling)
    return out.reshape(batch, 1, heads, dim)
