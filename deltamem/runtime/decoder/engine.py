"""One decoding step for a batch of answers: a pass, the draw and the bookkeeping, all on the device."""

import torch

from deltamem.core.binding import bind
from deltamem.kernels.decode_attention import new_workspace
from deltamem.runtime.decoder.attention import attend_on_cpu, attend_on_gpu, engine_attention
from deltamem.runtime.decoder.memory import MemoryRows
from deltamem.runtime.decoder.modules import Modules
from deltamem.runtime.decoder.rows import BatchCache, Buffers, RowCache
from deltamem.runtime.sampling import NO_NUMBER, draw, likeliest


class Engine:
    """Buffers and step of a batch of `rows` answers of up to `capacity` tokens, under given adapters.

    Between leases every row is idle. Rows are set and read by `Batch`; all tensors live on the model's device:
    active: bool [B], rows that take part in a step. tokens: int64 [B], the token each row feeds next. positions:
    int64 [B], tokens in its KV. temperature, top_p: float32 [B]. numbers: float32 [B, capacity], what decides its
    draws. drawn: int64 [B], how many tokens it drew. logits: [B, V] of the last step.
    """

    def __init__(self, model, shapes, adapters, rows, capacity):
        device = model.device
        self.model, self.rows, self.capacity = model, rows, capacity
        self.buffers = Buffers(shapes, rows, capacity, model.dtype, device)
        self.memories = {id(adapter): MemoryRows(adapter, rows, device) for adapter in adapters}
        self.active = torch.zeros(rows, dtype=torch.bool, device=device)
        self.tokens, self.positions, self.drawn = torch.zeros(3, rows, dtype=torch.int64, device=device)
        self.temperature, self.top_p = torch.zeros(2, rows, device=device)
        self.numbers = torch.zeros(rows, capacity, device=device)
        self._step = Step(self.buffers)
        self._cache = BatchCache(self._step)
        self._modules = Modules(model.backbone, self._step, list(self.memories.values()))
        self.logits = None

    def row_cache(self, row):
        """The row's KV, empty."""
        return RowCache(self.buffers, row)

    def idle(self):
        """Make every row nobody's."""
        self.active.zero_()
        for memory in self.memories.values():
            for row in range(self.rows):
                memory.idle(row)

    def step(self, warm, longest):
        """Feed one token of every active row and draw its next. The model must be locked.

        warm: whether any row draws with a temperature. longest: tokens in the longest active row's KV, None to leave
        that on the device. Returns ids [B] on the device (NO_NUMBER: the row's output is not a number; what idle rows
        get means nothing).
        """
        model, memories = self.model, self.memories.values()
        self._step.begin(self.active, self.positions, longest)
        for rows in memories:
            rows.begin(self.active)
        config = model.backbone.config.get_text_config()
        with torch.no_grad(), bind(model.backbone, None), engine_attention(config, self._step), self._modules.fast():
            out = model.backbone(
                input_ids=self.tokens[:, None],
                position_ids=self.positions[:, None],
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.logits = out.logits[:, -1]
        if warm:
            numbers = self.numbers.gather(1, self.drawn[:, None])[:, 0]
            ids = draw(self.logits, self.temperature, self.top_p, numbers)
        else:
            ids = likeliest(self.logits)
        for rows in memories:
            rows.end(self.active)
        torch.where(self.active & (ids != NO_NUMBER), ids, self.tokens, out=self.tokens)
        self.positions.add_(self.active)
        self.drawn.add_(self.active)
        return ids


class Step:
    """Where the step that runs reads and writes, for the cache, the modules and the attention.

    It does not know its engine: a cycle would keep gigabytes of KV until Python looks for cycles. places: int64 [B],
    where each row's key and value go. reach: places that attention may have to read at most, None for the whole
    buffer. turn: cosines and sines of the rows' positions, noted by the modules.
    """

    def __init__(self, buffers):
        self.buffers = buffers
        self.places = self.turn = self.reach = self._lengths = self._inside = None
        self._workspaces = {}

    def begin(self, active, positions, longest):
        """active, positions, longest: as of the engine."""
        # An idle row writes to the place behind its buffer's end and reads the first.
        self.places = torch.where(active, positions, self.buffers.capacity)
        lengths = torch.where(active, positions + 1, 1)
        if longest is None:
            self._lengths = lengths.int()
            return
        self.reach = longest + 1
        self._inside = None
        if self.buffers.rows > 1:
            self._inside = (torch.arange(self.reach, device=lengths.device) < lengths[:, None])[:, None, None]

    def attend(self, query, key, value, scaling):
        """Attention of the step; see attention.attend."""
        if self.reach is not None:
            return attend_on_cpu(query, key, value, self._inside, scaling)
        batch, heads, _, dim = query.shape
        shape = batch, heads, key.shape[1], dim
        if shape not in self._workspaces:
            self._workspaces[shape] = new_workspace(*shape, query.device)
        return attend_on_gpu(query, key, value, self._lengths, scaling, self._workspaces[shape])
