"""The baseline that cannot remember: a static LoRA trained on the same conversations.

Its context is dropped between turns like the memory's, and no state takes its place: what it scores on facts of a
conversation it has guessed, from the question and from how such facts are usually answered.
"""

from pathlib import Path

from torch import Tensor, nn

from .batches import Slot
from .checkpoint import TrainingError
from .step import causal_attention, last_hidden, reply_loss

TARGETS = ["q_proj", "o_proj"]  # the projections that the memory steers in its published form


def new_lora(backbone, parameters: int):
    """The backbone inside a fresh peft LoRA of about as many `parameters`: a PeftModel, its backbone changed in place.

    Raises TrainingError when the package peft is not there.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise TrainingError(
            "The method lora needs the package peft; pip install -r deltamem/eval/requirements.txt."
        ) from error
    shapes = [module.weight.shape for name, module in backbone.named_modules() if name.rsplit(".", 1)[-1] in TARGETS]
    rank = max(1, round(parameters / sum(rows + columns for rows, columns in shapes)))
    return get_peft_model(backbone, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))


def save_lora(lora, folder: Path) -> None:
    """Its weights as peft stores them, in float16 as an adapter's are."""
    weights = {name: p.detach().half() for name, p in lora.named_parameters() if p.requires_grad}
    lora.save_pretrained(str(folder), state_dict=weights)


class LoraStep(nn.Module):
    """Mean cross-entropy of the learnt reply tokens, each turn read by itself. Holds the LoRA's weights."""

    fixed_shapes = True

    def __init__(self, backbone):
        super().__init__()
        self.weights = nn.ParameterList(p for p in backbone.parameters() if p.requires_grad)
        self._backbone = (backbone,)  # in a tuple: not a submodule

    def forward(self, slots: list[Slot]) -> Tensor:
        backbone, parts = self._backbone[0], []
        for slot in slots:
            if slot.targets is None:  # a turn that teaches nothing leaves nothing behind
                continue
            with causal_attention(backbone):
                hidden = last_hidden(backbone, slot)
            parts.append(reply_loss(backbone, hidden, slot))
        total, count = (sum(part) for part in zip(*parts, strict=True))
        return total / count
