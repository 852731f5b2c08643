"""What the model is given of the past in a run: in the prompt, in the memory, or not at all."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Condition:
    """memory: an adapter reads and writes. shown: of the history in the prompt, "none", "full" or "rag" (by BM25).

    control: None, "zero" (nothing of the history is in the state) or "shuffled" (the numbers of the written state in
    another order). lora: a peft adapter is on the backbone.
    """

    title: str
    memory: bool = False
    shown: str = "none"
    control: str | None = None
    lora: bool = False

    @property
    def writes_history(self):
        """Whether the history is written before the question comes."""
        return self.memory and self.shown != "full" and self.control != "zero"


CONDITIONS = {
    "base": Condition("Base, no history"),
    "base-full": Condition("Base + full history", shown="full"),
    "base-rag": Condition("Base + BM25", shown="rag"),
    "lora-full": Condition("Static LoRA + full history", shown="full", lora=True),
    "memory-full": Condition("δ-mem + full history", memory=True, shown="full"),
    "memory": Condition("δ-mem, state only", memory=True),
    "memory-rag": Condition("δ-mem + BM25", memory=True, shown="rag"),
    "memory-zero": Condition("δ-mem, zero state", memory=True, control="zero"),
    "memory-shuffled": Condition("δ-mem, shuffled state", memory=True, control="shuffled"),
}


def shuffled(states, seed):
    """States of one row {module: [1, H, r, r]} with each matrix's numbers in another order; the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    mixed = {}
    for name, state in states.items():
        flat = state.flatten(2)
        order = torch.rand(flat.shape, generator=generator).argsort(-1).to(state.device)
        mixed[name] = flat.gather(2, order).view_as(state)
    return mixed
