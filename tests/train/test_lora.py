"""The baseline: a LoRA of as many numbers, on the same conversations, which peft and the recall test can read."""

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.eval.lora import lora_on
from deltamem.runtime import load_model
from deltamem.train.checkpoint import Settings
from deltamem.train.loop import Trainer
from deltamem.train.lora import LoraStep, new_lora, save_lora


@pytest.fixture()
def fresh(tiny_model_folder):
    return load_model(str(tiny_model_folder), adapter=None, device="cpu")


def test_as_many_parameters_as_the_memory(fresh):
    wanted = sum(p.numel() for p in new_adapter(fresh.backbone, HFDeltaMemConfig(rank=8)).parameters())
    new_lora(fresh.backbone, wanted)
    given = sum(p.numel() for p in fresh.backbone.parameters() if p.requires_grad)
    assert given == pytest.approx(wanted, rel=0.2)


def test_it_learns_is_saved_and_changes_the_backbone_only_inside(fresh, tiny, batches, tmp_path):
    ids = torch.arange(5, 25)[None]
    plain = tiny.backbone(ids).logits
    wrapped = new_lora(fresh.backbone, 2000)
    settings = Settings(steps=8, checkpoint_every=8, learning_rate=1e-2)
    trainer = Trainer(LoraStep(fresh.backbone), batches, settings, tmp_path, fresh.backbone)
    slots = [slot.trimmed() for slot in batches[0][1]]
    losses = [trainer.update(slots).item() for _ in range(12)]
    assert losses[-1] < 0.97 * losses[0]
    save_lora(wrapped, tmp_path / "lora")
    trained = fresh.backbone(ids).logits
    with lora_on(tiny, tmp_path / "lora"):
        torch.testing.assert_close(tiny.backbone(ids).logits, trained, rtol=2e-3, atol=2e-3)
    assert torch.equal(tiny.backbone(ids).logits, plain) and not torch.allclose(trained, plain)


def test_what_was_told_before_does_not_change_its_loss(fresh, batches):
    new_lora(fresh.backbone, 2000)
    step = LoraStep(fresh.backbone)
    slots = [slot.trimmed() for slot in batches[0][1]]
    asked = [slot for slot in slots if slot.targets is not None]
    assert torch.equal(step(slots), step(asked)) and len(asked) < len(slots)
