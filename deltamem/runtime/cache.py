"""The KV of a conversation: its size, cutting it back, copying it, and keeping it from turn to turn."""

import torch
from transformers import DynamicCache


def cache_bytes(cache):
    """Bytes of a KV's keys and values; 0 for None."""
    pairs = [(layer.keys, layer.values) for layer in cache.layers if layer.is_initialized] if cache else []
    return sum(t.numel() * t.element_size() for pair in pairs for t in pair)


def crop_cache(cache, length):
    """Cut every layer of a KV back to `length` tokens; layers may differ after a pass that failed half-way.

    Returns whether there was something to cut. What was cut stays in memory as long as the rest of its tensor is used.
    """
    extra = [layer.get_seq_length() - length for layer in cache.layers]
    for layer, more in zip(cache.layers, extra, strict=True):
        if more > 0:
            layer.crop(-more)
    return any(more > 0 for more in extra)


def copy_cache(cache):
    """An independent copy of a KV; None for None."""
    if cache is None:
        return None
    copy = DynamicCache()
    for index, layer in enumerate(cache.layers):
        copy.update(layer.keys, layer.values, index)
    return copy


class KeptCache:
    """The KV that context "full" keeps. ends: its length after each step that it holds; it may lag behind the steps."""

    def __init__(self, cache=None, ends=()):
        self.cache = cache
        self.ends = list(ends)

    def take(self, cache):
        """Take over a run's KV as far as it belongs to steps; what an unfinished run added goes.

        A KV that only borrows its place, as a row of a decoding batch does, is copied.
        """
        self.cache = cache
        self.cut(len(self.ends))
        if self.ends and not isinstance(self.cache, DynamicCache):
            self._copy()

    def cut(self, steps):
        """Forget what came after the first `steps` steps."""
        del self.ends[steps:]
        if not self.ends:
            self.cache = None
        elif crop_cache(self.cache, self.ends[-1]):
            self._copy()

    def _copy(self):
        """Have a KV of exactly this size; where the device lacks the memory for it, none: it is computed again then."""
        try:
            self.cache = copy_cache(self.cache)
        except torch.OutOfMemoryError:
            self.cache, self.ends = None, []

    def copy(self):
        """An independent copy: a KV grows in place."""
        return KeptCache(copy_cache(self.cache), self.ends)
