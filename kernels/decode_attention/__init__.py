"""Attention of one new token per row over a static KV cache, read up to a length that lives on the device."""

from .dispatch import decode_attention
from .naive import decode_attention_naive
from .workspace import Workspace, new_workspace

__all__ = ["Workspace", "decode_attention", "decode_attention_naive", "new_workspace"]
