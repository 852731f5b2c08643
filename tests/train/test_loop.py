"""The loop: it learns, it goes on exactly where it was stopped, and it stops at a loss that is no number."""

import json

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, checkpoint_layers, new_adapter
from deltamem.train.batches import encode_slot
from deltamem.train.checkpoint import Settings, TrainingError
from deltamem.train.episodes import Turn
from deltamem.train.layers import trained
from deltamem.train.loop import Trainer, learning_rate
from deltamem.train.step import ChatStep, causal_attention, divergence, last_hidden, predictions


def make_trainer(tiny, batches, folder, steps=4, states=1, settings=None, **config):
    torch.manual_seed(0)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=states, output_init="base_slice", **config)
    settings = settings or Settings(steps=steps, checkpoint_every=2, learning_rate=1e-2)
    adapter = trained(new_adapter(tiny.backbone, config))
    return Trainer(ChatStep(tiny.backbone, adapter), batches, settings, folder, tiny.backbone)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.parameters])


@pytest.mark.parametrize("write", ["token", "message_mean"])
def test_one_batch_can_be_learnt(tiny, batches, tmp_path, write):
    trainer = make_trainer(tiny, batches, tmp_path, memory_write_granularity=write)
    slots = [slot.trimmed() for slot in batches[0][1]]
    before = [p.clone() for p in tiny.backbone.parameters()]
    losses = [trainer.update(slots).item() for _ in range(12)]
    assert losses[-1] < 0.97 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(before, tiny.backbone.parameters(), strict=True))


def test_resume_is_exact(tiny, batches, tmp_path):
    whole = make_trainer(tiny, batches, tmp_path / "whole")
    whole.run(report_every=50)
    part = make_trainer(tiny, batches, tmp_path / "part")

    class Stop(Exception):
        pass

    def stop_after_three(slots, update=part.update):
        if part.step == 3:
            raise Stop
        return update(slots)

    part.update = stop_after_three
    with pytest.raises(Stop):
        part.run()
    rest = make_trainer(tiny, batches, tmp_path / "part")
    rest.resume()
    assert rest.step == 2
    rest.run()
    assert torch.equal(weights(whole), weights(rest))
    steps = [json.loads(line)["step"] for line in (tmp_path / "part" / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4]


def test_resume_refuses_what_does_not_fit(tiny, batches, tmp_path):
    with pytest.raises(TrainingError, match="no .*checkpoint"):
        make_trainer(tiny, batches, tmp_path).resume()
    make_trainer(tiny, batches, tmp_path).run()
    with pytest.raises(TrainingError, match="steps 4 -> 5"):
        make_trainer(tiny, batches, tmp_path, steps=5).resume()
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
    with pytest.raises(TrainingError, match="between step 0 and step 2"):
        broken.run()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept


def test_the_rate_warms_up_and_ends_at_zero():
    settings = Settings(steps=100, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(settings, step / 100) for step in range(100)]
    assert learning_rate(Settings(steps=1, learning_rate=1.0), 0.0) == 1.0  # never above it
    assert 0 < rates[0] < rates[9] < 1.0 and max(rates) == pytest.approx(1.0) and rates[-1] < 0.01


def test_a_time_limit_ends_the_schedule(tiny, batches, tmp_path):
    trainer = make_trainer(tiny, batches, tmp_path)
    trainer.run(minutes=1e-6)
    assert trainer.step == 1 and (tmp_path / "checkpoint.safetensors").is_file()


def test_parts_of_a_batch_add_up(tiny, batches, tmp_path):
    """Accumulated parts step like the mean of their losses."""
    batches.share = 0.04
    slots = batches[0][1]
    settings = Settings(accumulate=2)
    trainer = make_trainer(tiny, batches, tmp_path, settings=settings)
    losses = [trainer.step_module([slot.rows(part, 2) for slot in slots]).item() for part in range(2)]
    assert trainer.update(slots).item() == pytest.approx(sum(losses) / 2, rel=1e-5)


@pytest.mark.parametrize(("write", "cast"), [("token", False), ("token", True), ("message_mean", False)])
def test_layers_that_run_again_give_the_same_gradient(tiny_model_folder, tiny, batches, tmp_path, write, cast):
    """cast: with weights cast once a step, as on a GPU."""
    from deltamem.runtime import load_model

    again = load_model(str(tiny_model_folder), adapter=None, device="cpu")
    checkpoint_layers(again.backbone)
    again.backbone.train()
    gradients = []
    for model in (tiny, again):
        trainer = make_trainer(model, batches, tmp_path, memory_write_granularity=write)
        if cast:
            for layer in trainer.step_module.adapter.layers.values():
                layer.begin_step(torch.float32)
        trainer.step_module(batches[4][1]).backward()
        gradients.append([p.grad for p in trainer.parameters])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert any(g.abs().max() > 0 for g in gradients[0])


def ordinary(tiny):
    """A batch of one layout in which a turn of each kind is ordinary."""
    told, asked = Turn("It rains.", "It does.", ordinary=True), Turn("Hi!", "Hello.", learned=True, ordinary=True)
    return [encode_slot(tiny.chat, [turn, turn], kind).trimmed() for turn, kind in ((told, "T"), (asked, "A"))]


def test_divergence_is_zero_without_steering_and_grows_with_it(tiny, short_turns):
    slot = ordinary(tiny)[0]
    with causal_attention(tiny.backbone):
        hidden = last_hidden(tiny.backbone, slot)
    assert divergence(tiny.backbone, hidden, slot)[0].abs() < 1e-4
    total, count = divergence(tiny.backbone, hidden + 1.0, slot)
    logits = predictions(tiny.backbone, hidden + 1.0, slot.kept.clamp_min(0)).log_softmax(-1).double()
    wanted = predictions(tiny.backbone, hidden, slot.kept.clamp_min(0)).log_softmax(-1).double()
    by_hand = (wanted.exp() * (wanted - logits)).sum(-1)[slot.kept >= 0]
    assert count == by_hand.numel()
    torch.testing.assert_close(total.double(), by_hand.sum(), rtol=1e-4, atol=1e-6)


def test_keeping_ordinary_text_lowers_the_divergence(tiny, short_turns):
    slots, found = ordinary(tiny), []
    for keep in (0.0, 1000.0):
        torch.manual_seed(0)
        adapter = trained(new_adapter(tiny.backbone, HFDeltaMemConfig(rank=4, alpha=8.0, output_init="base_slice")))
        plain, kept = ChatStep(tiny.backbone, adapter), ChatStep(tiny.backbone, adapter, keep)
        optimizer = torch.optim.Adam(adapter.parameters(), lr=1e-2)
        for _ in range(10):
            optimizer.zero_grad()
            kept(slots).backward()
            optimizer.step()
        found.append((ChatStep(tiny.backbone, adapter, 1.0)(slots) - plain(slots)).item())
    assert 0 <= found[1] < 0.5 * found[0]
