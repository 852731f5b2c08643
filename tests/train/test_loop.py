"""The loop: it learns, it goes on exactly where it was stopped, and it stops at a loss that is no number."""

import json

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, new_adapter
from deltamem.train.checkpoint import Settings, TrainingError
from deltamem.train.loop import Trainer, learning_rate
from deltamem.train.start import started_from


def make_trainer(tiny, batches, folder, steps=8, states=1):
    torch.manual_seed(0)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=states, output_init="base_slice")
    settings = Settings(steps=steps, checkpoint_every=4, learning_rate=1e-2)
    return Trainer(tiny, new_adapter(tiny.backbone, config), batches, settings, folder)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.parameters])


def test_one_batch_can_be_learnt(tiny, batches, tmp_path):
    trainer = make_trainer(tiny, batches, tmp_path)
    slots = [slot.trimmed() for slot in batches[0][1]]
    before = [p.clone() for p in tiny.backbone.parameters()]
    losses = [trainer.update(slots).item() for _ in range(25)]
    assert losses[-1] < 0.97 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, tiny.backbone.parameters(), strict=True))


def test_resume_is_exact(tiny, batches, tmp_path):
    whole = make_trainer(tiny, batches, tmp_path / "whole")
    whole.run()
    part = make_trainer(tiny, batches, tmp_path / "part")

    class Stop(Exception):
        pass

    def stop_after_five(slots, update=part.update):
        if part.step == 5:
            raise Stop
        return update(slots)

    part.update = stop_after_five
    with pytest.raises(Stop):
        part.run()
    rest = make_trainer(tiny, batches, tmp_path / "part")
    rest.resume()
    assert rest.step == 4
    rest.run()
    assert torch.equal(weights(whole), weights(rest))
    steps = [json.loads(line)["step"] for line in (tmp_path / "part" / "log.jsonl").read_text().splitlines()]
    assert steps == [4, 8]


def test_resume_refuses_what_does_not_fit(tiny, batches, tmp_path):
    with pytest.raises(TrainingError, match="no .*checkpoint"):
        make_trainer(tiny, batches, tmp_path).resume()
    make_trainer(tiny, batches, tmp_path).run()
    with pytest.raises(TrainingError, match="steps 8 -> 9"):
        make_trainer(tiny, batches, tmp_path, steps=9).resume()
    with pytest.raises(TrainingError, match="another shape"):
        make_trainer(tiny, batches, tmp_path, states=2).resume()
    (tmp_path / "checkpoint.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(TrainingError, match="cannot be read"):
        make_trainer(tiny, batches, tmp_path).resume()


def test_a_loss_that_is_no_number_stops_the_run(tiny, batches, tmp_path):
    trainer = make_trainer(tiny, batches, tmp_path)
    trainer.run()
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    broken = make_trainer(tiny, batches, tmp_path)
    with torch.no_grad():
        broken.parameters[0].fill_(float("nan"))
    with pytest.raises(TrainingError, match="between step 0 and step 4"):
        broken.run()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept


def test_the_rate_warms_up_and_ends_at_zero():
    settings = Settings(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0) and rates[-1] < 0.01


def test_one_state_out_of_several_keeps_reading_and_writing(tiny, batches, tmp_path):
    wide = make_trainer(tiny, batches, tmp_path, states=2).adapter
    narrow = started_from(wide, 1, tiny.backbone)
    assert narrow.config.num_state_heads == 1
    for name, layer in narrow.layers.items():
        rows = [wide.layers[name].memory_v_proj[i : i + 4] for i in (0, 4)]
        assert any(torch.equal(layer.memory_v_proj, row) for row in rows)
    slots = [slot.trimmed() for slot in batches[0][1]]
    assert torch.isfinite(Trainer(tiny, narrow, batches, Settings(), tmp_path).loss(slots))
