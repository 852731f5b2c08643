"""The memories of a decoding batch: one adapter's states for all rows, and their part of a step."""

import torch

from deltamem.core.config import HEADS
from deltamem.kernels.attention_inputs import MemoryStep
from deltamem.kernels.decode_step import decode_step


class MemoryRows:
    """States of one adapter, [L, B, H, r, r] float32 for L layers and B rows.

    A row that does not use this adapter has scale 0 and does not write: what it computes is the backbone's, bit for
    bit. `before` holds every row's state before its last step, so that one step can be taken back.

    On a CPU each call costs more than its arithmetic: layers only read there, and `late` says that the states of all of
    them are written by one call at the step's end.
    """

    def __init__(self, adapter, rows, device):
        config = adapter.config
        self.adapter, self.config, self.rows = adapter, config, rows
        self.names = list(adapter.layers)
        self.layers = list(adapter.layers.values())
        count, heads, rank, width = len(self.names), config.num_state_heads, config.rank, config.width
        self.states, self.next, self.before = torch.zeros(3, count, rows, heads, rank, rank, device=device)
        kinds = 1 if config.couple_lambda else 2
        self.gates, self.last_gates = torch.zeros(2, kinds, count, rows, width, device=device)
        self.scales = {head: torch.zeros(count, rows, device=device) for head in config.delta_heads}
        self._off = {head: torch.ones_like(scale, dtype=torch.bool) for head, scale in self.scales.items()}
        columns = {head: (scale[..., None], self._off[head][..., None]) for head, scale in self.scales.items()}
        self._columns = {head: [x.unbind() for x in pair] for head, pair in columns.items()}  # [B, 1] for each layer
        self._layer_states = self.states.unbind()
        self._factors = {head: torch.stack([self._factor(one, head) for one in self.layers]) for head in self.scales}
        self.writes = torch.zeros(rows, dtype=torch.bool, device=device)
        self.written = self.writes.clone()  # of this step: rows that write and are not idle
        self.reads = [None] * count
        self.packed = [None] * count
        self.late = torch.device(device).type == "cpu"

    # Rows coming and going

    def join(self, row, binding, writes):
        """Take over a conversation's memory: a Binding of this adapter."""
        empty = self.states.new_zeros(self.states.shape[2:])
        states = [binding.states[name][0] if name in binding.states else empty for name in self.names]
        self.states[:, row] = torch.stack(states)
        self.gates[:, :, row] = 0
        self.writes[row] = writes
        on = None
        if binding.layers_off:
            on = torch.tensor([float(name not in binding.layers_off) for name in self.names], device=self.writes.device)
        for head, scale in self.scales.items():
            factors = self._factors[head] * binding.strength
            scale[:, row] = factors if on is None else factors * on
            torch.eq(scale, 0, out=self._off[head])

    def leave(self, row, binding, steps, back):
        """Hand the memory back after `steps` steps, without the last one when `back`."""
        states = (self.before if back else self.states)[:, row].clone()
        if self.config.memory_write_granularity == "token" and binding.write:
            binding.states = {name: states[i : i + 1] for i, name in enumerate(self.names)}
            sums = self.gates[:, :, row] - self.last_gates[:, :, row] if back else self.gates[:, :, row].clone()
            self._count(binding.gates, sums.unflatten(-1, (self.config.num_state_heads, self.config.rank)), steps)
        self.idle(row)

    def idle(self, row):
        """Nobody's row: it steers nothing and writes nothing. Takes no memory, which may just have run out."""
        self.writes[row].zero_()
        for head, scale in self.scales.items():
            scale[:, row].zero_()
            self._off[head][:, row].fill_(True)

    def _count(self, gates, sums, steps):
        if gates is None or steps == 0:
            return
        beta = sums[0]
        lam = steps - beta if self.config.couple_lambda else sums[1]
        written = torch.full((1,), float(steps), device=beta.device)
        for i, name in enumerate(self.names):
            gates.add_sums(name, beta[i : i + 1], lam[i : i + 1], written)

    def _factor(self, layer, head):
        """What the steer multiplies reads @ weight with, beside the strength; a 0-dim tensor."""
        factor = torch.tensor(self.config.alpha / self.config.rank, device=layer.beta_bias.device)
        if self.config.trainable_delta_scale:
            index = HEADS.index(head) if self.config.delta_scale_granularity == "head" else 0
            factor = factor * torch.sigmoid(layer.delta_scale_raw[index]).reshape(()) * self.config.delta_scale_max
        return torch.ones_like(factor) if self._normed(head) else factor

    def _normed(self, head):
        return head == "o" and self.config.delta_o_rmsnorm

    # A step

    def begin(self, active):
        """active: bool [B], rows that are not idle."""
        torch.logical_and(self.writes, active, out=self.written)

    def step(self, place, packed):
        """The MemoryStep of a layer; packed: [B, P] float32, outputs of the layer's packed projections."""
        self.packed[place] = packed
        steers = "q" in self.scales
        return MemoryStep(
            packed,
            self.states[place],
            self.next[place],
            self.written,
            self.config.normalize_qk,
            self.config.state_update_mode,
            self.layers[place]._parameters["delta_q_proj"] if steers else None,
            self.scales["q"][place] if steers else None,
        )

    def advance(self, place, packed, outputs):
        """The same step made here, for what a single launch does not take: keys and values that are steered.

        outputs: {"q", "k", "v": [B, N]}, steered in place.
        """
        heads = [head for head in outputs if head in self.scales]
        if self.late:
            self.packed[place], reads = packed, self._read(place, packed)
        else:
            step, steered = self.step(place, packed), {}
            if heads[:1] == ["q"]:
                steered = {"steered": outputs[heads.pop(0)], "weight": step.weight, "scale": step.scale}
            reads, _ = self._write(packed, step.state, step.after, step.write, **steered)
        for head in heads:
            self.steer(place, head, reads, outputs[head])
        self.reads[place] = reads

    def _read(self, place, packed):
        """Reads [B, H * r] of a layer."""
        config = self.config
        q = packed[:, : config.width].view(-1, config.num_state_heads, 1, config.rank)
        if config.normalize_qk:
            q = torch.tanh(q)
            q.div_(torch.linalg.vector_norm(q, dim=-1, keepdim=True).clamp_min_(1e-6))
        return (self._layer_states[place] * q).sum(-1).flatten(1)

    def _write(self, packed, states, after, write, **steered):
        return decode_step(
            packed,
            states,
            after,
            normalize_qk=self.config.normalize_qk,
            update=self.config.state_update_mode,
            write=write,
            **steered,
        )

    def steer(self, place, head, reads, output):
        """Correct a head's output [B, N] in place."""
        layer, (scales, off) = self.layers[place], self._columns[head]
        if self._normed(head):
            zeros = reads.new_zeros(reads.shape[0], 1, layer.shape.o)
            output += (scales[place] * layer.steer("o", zeros, reads[:, None])[:, 0]).to(output.dtype)
            return
        scaled, weight = (reads * scales[place]).masked_fill_(off[place], 0.0), layer._parameters[f"delta_{head}_proj"]
        if output.dtype == weight.dtype:
            output.addmm_(scaled, weight.T)
        else:
            output += (scaled @ weight.T).to(output.dtype)

    def end(self, active):
        """Make the step's states and gates those of the rows that are not idle."""
        packed = torch.stack(self.packed)
        if self.late:
            written = self.written.expand(len(self.layers), -1)
            self._write(*(x.flatten(0, 1) for x in (packed, self.states, self.next, written)))
        torch.where(active[None, :, None, None, None], self.states, self.before, out=self.before)
        self.states.copy_(self.next)  # rows that do not write have their old state there
        width = self.config.width
        gates = packed[..., 3 * width :].sigmoid().unflatten(-1, (-1, width)).permute(2, 0, 1, 3)
        last = gates * self.written[:, None]
        torch.where(active[:, None], last, self.last_gates, out=self.last_gates)
        self.gates.add_(last)
