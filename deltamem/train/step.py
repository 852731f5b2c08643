"""One training step's loss: the passes of a batch of conversations, turn after turn, only the state carried over."""

import sys
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from deltamem.core.binding import Binding, bind
from deltamem.core.plan import Plan

from .batches import Slot
from .consistency import disturbance, layer_inputs
from .layers import TurnSegments, queries

ATTENTION = "deltamem_causal"


def _causal_attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, **kwargs):
    """Causal attention without a mask: padding stands on the right, where causality hides it."""
    out = F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )
    return out.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _causal_attention)


@contextmanager
def causal_attention(backbone):
    """Inside, the backbone attends causally and makes no masks (which also look at values, as no graph may)."""
    config = backbone.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def fuse(backbone) -> None:
    """Compile what consists of many small kernels and carries no hooks: norms, MLPs and rotary embeddings."""
    torch._dynamo.config.recompile_limit = 64
    for module in backbone.modules():
        if type(module).__name__.endswith(("RMSNorm", "MLP")):
            module.compile(dynamic=True)
    for file in {sys.modules[type(module).__module__] for module in backbone.modules()}:
        rotary = getattr(file, "apply_rotary_pos_emb", None)
        if rotary is not None and not hasattr(rotary, "_torchdynamo_orig_callable"):
            file.apply_rotary_pos_emb = torch.compile(rotary, dynamic=True)


def turn_plan(slot: Slot, by_message: bool) -> Plan:
    """What one turn reads and writes: its tokens one by one, or its two messages."""
    invalid = ~slot.valid[..., None]
    if not by_message:
        return Plan(True, invalid, slot.valid)
    place = torch.arange(slot.ids.shape[1], device=slot.ids.device)
    asked, first = slot.spans[:, :1], slot.spans[:, 1:]
    members = torch.stack((place < asked, (place >= asked) & slot.valid), dim=1)  # [B, 2, T]
    counts = members.sum(dim=-1, keepdim=True)
    segments = TurnSegments(members / counts.clamp_min(1), counts.squeeze(-1) > 0, place >= first)
    return Plan(True, invalid, segments=segments)


class ChatStep(nn.Module):
    """Mean cross-entropy of the learnt reply tokens of a batch of conversations, and what keeps ordinary language.

    keep: weight of the mean divergence KL(backbone ‖ with memory) of next-token predictions in ordinary turns, in the
    last place that tells and the last that asks; without it the steering of ordinary text is nobody's business, and
    fluency is lost. Turns that tell a fact are left alone: what they write depends on how they are steered.
    consistency: weight of the mean `disturbance` of what is asked for. The adapter is the only registered part: what is
    trained, and what processes keep equal among them.
    """

    fixed_shapes = True

    def __init__(self, backbone, adapter, keep: float = 0.0, consistency: float = 0.0):
        super().__init__()
        self.adapter, self.keep, self.consistency = adapter, keep, consistency
        self._backbone = (backbone,)  # in a tuple: not a submodule

    def forward(self, slots: list[Slot]) -> Tensor:
        backbone, layers = self._backbone[0], self.adapter.layers.values()
        if backbone.device.type == "cuda" and backbone.dtype == torch.bfloat16:
            for layer in layers:
                layer.begin_step(backbone.dtype)
        return self._loss(backbone, slots)

    def _loss(self, backbone, slots: list[Slot]) -> Tensor:
        by_message = self.adapter.config.memory_write_granularity != "token"
        binding = Binding(self.adapter)
        asking, kept, disturbed, history = [], [], [], []
        last = {slot.targets is None: i for i, slot in enumerate(slots) if slot.kept is not None} if self.keep else {}
        for i, slot in enumerate(slots):
            binding.plan = turn_plan(slot, by_message)
            # Before the third turn nothing was written since anything was told.
            watched = self.adapter.layers if self.consistency and slot.told is not None and i > 1 else {}
            with causal_attention(backbone), bind(backbone, binding), layer_inputs(watched) as inputs:
                hidden = last_hidden(backbone, slot)
            if watched:
                disturbed.append(disturbance(queries(watched, inputs, slot.positions), history, slot))
            if self.consistency:
                history.append(torch.stack([binding.states[name] for name in self.adapter.layers], dim=1))
            if slot.targets is not None:
                asking.append(reply_loss(backbone, hidden, slot))
            if i in last.values():
                kept.append(divergence(backbone, hidden, slot))
        loss = _mean(asking)
        if kept:
            loss = loss + self.keep * _mean(kept)
        return loss + self.consistency * _mean(disturbed) if disturbed else loss


def _mean(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Of (sum, number) pairs."""
    total, count = (sum(part) for part in zip(*parts, strict=True))
    return total / count.clamp_min(1)


def last_hidden(backbone, slot: Slot) -> Tensor:
    """[B, T, hidden] of a turn's pass."""
    return backbone.base_model(input_ids=slot.ids, use_cache=False).last_hidden_state


def predictions(backbone, hidden: Tensor, positions: Tensor) -> Tensor:
    """Logits [B, N, vocabulary] in float32 at `positions` [B, N]."""
    picked = hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
    return backbone.get_output_embeddings()(picked).float()


def reply_loss(backbone, hidden: Tensor, slot: Slot) -> tuple[Tensor, Tensor]:
    """(summed cross-entropy, number) of a turn's targets; hidden: [B, T, hidden] of its pass."""
    logits = predictions(backbone, hidden, slot.positions)
    loss = F.cross_entropy(logits.flatten(0, 1), slot.targets.flatten(), reduction="sum")
    return loss, (slot.targets >= 0).sum()


def divergence(backbone, hidden: Tensor, slot: Slot) -> tuple[Tensor, Tensor]:
    """(summed KL(backbone ‖ this pass), in nats, number) of the predictions at slot.kept; hidden: [B, T, hidden]."""
    positions = slot.kept.clamp_min(0)
    with torch.no_grad(), causal_attention(backbone):
        wanted = predictions(backbone, last_hidden(backbone, slot), positions).log_softmax(-1)
    given = predictions(backbone, hidden, positions).log_softmax(-1)
    each = F.kl_div(given, wanted, reduction="none", log_target=True).sum(-1)
    there = slot.kept >= 0
    return (each * there).sum(), there.sum()
