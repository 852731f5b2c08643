"""The KV of a decoding batch: fixed buffers with a row for each answer, and two ways of looking at them."""

import torch
from transformers.cache_utils import Cache, DynamicLayer


class Buffers:
    """Keys and values of all layers, made once and used by one batch after the other.

    keys, values: per layer [B, Hkv, capacity + 1, D]; the last place takes what idle rows write.
    """

    def __init__(self, shapes, rows, capacity, dtype, device):
        """shapes: (Hkv, D) of each layer."""
        self.rows, self.capacity = rows, capacity
        self.keys, self.values = (
            [torch.zeros(rows, heads, capacity + 1, dim, dtype=dtype, device=device) for heads, dim in shapes]
            for _ in range(2)
        )

    @property
    def nbytes(self):
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))


class RowCache(Cache):
    """One row as a KV of its own, for one answer's passes of any length; keys and values of its layers are views."""

    def __init__(self, buffers, row):
        super().__init__(layers=[_RowLayer(k[row : row + 1], v[row : row + 1]) for k, v in _pairs(buffers)])
        self.row = row

    def show(self, length):
        """Take the first `length` places as filled."""
        for layer in self.layers:
            layer.show(length)

    def take(self, cache):
        """Copy another KV into the empty row."""
        for layer, other in zip(self.layers, cache.layers, strict=False):
            if other.is_initialized:
                layer.update(other.keys, other.values)


class _RowLayer(DynamicLayer):
    def __init__(self, keys, values):
        super().__init__()
        self._all = keys, values
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.show(0)

    def show(self, length):
        self.keys, self.values = (whole[:, :, :length] for whole in self._all)

    def update(self, key_states, value_states, *args, **kwargs):
        begin = self.keys.shape[2]
        self.show(begin + key_states.shape[2])
        self.keys[:, :, begin:] = key_states
        self.values[:, :, begin:] = value_states
        return self.keys, self.values

    def reset(self):
        self.show(0)


class BatchCache(Cache):
    """All rows at once, for passes of one token a row, whose keys and values the step has put where they belong."""

    def __init__(self, step):
        super().__init__(layers=[_BatchLayer(k, v, step) for k, v in _pairs(step.buffers)])


class _BatchLayer(DynamicLayer):
    def __init__(self, keys, values, step):
        super().__init__()
        self.keys, self.values, self._step = keys, values, step
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True

    def update(self, key_states, value_states, *args, **kwargs):
        reach = self._step.reach
        return (self.keys, self.values) if reach is None else (self.keys[:, :, :reach], self.values[:, :, :reach])


def _pairs(buffers):
    return zip(buffers.keys, buffers.values, strict=True)
