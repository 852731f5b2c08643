"""Decoding in batches on static KV: engines, their steps, and the seats that turns take in them."""

from deltamem.runtime.decoder.decoder import MAX_ROWS, Decoder, Need

__all__ = ["MAX_ROWS", "Decoder", "Need"]
