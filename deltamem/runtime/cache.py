"""The KV of a conversation: its size, cutting it back, copying it, and keeping it from turn to turn."""

from transformers import DynamicCache


def cache_bytes(cache):
    """Bytes of a KV's keys and values; 0 for None."""
    pairs = [(layer.keys, layer.values) for layer in cache.layers if layer.is_initialized] if cache else []
    return sum(t.numel() * t.element_size() for pair in pairs for t in pair)


def crop_cache(cache, length):
    """Cut every layer of a KV back to `length` tokens; layers may differ after a pass that failed half-way."""
    for layer in cache.layers:
        extra = layer.get_seq_length() - length
        if extra > 0:
            layer.crop(-extra)


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
        if not isinstance(cache, DynamicCache):
            self.cache = copy_cache(self.cache)

    def cut(self, steps):
        """Forget what came after the first `steps` steps."""
        del self.ends[steps:]
        if self.ends:
            crop_cache(self.cache, self.ends[-1])
        else:
            self.cache = None

    def copy(self):
        """An independent copy: a KV grows in place."""
        return KeptCache(copy_cache(self.cache), self.ends)
