"""State consistency: by hand, zero where nothing was written since, and what its gradient reaches."""

import pytest
import torch

from deltamem.core import HFDeltaMemConfig, checkpoint_layers, new_adapter
from deltamem.train.batches import Slot, encode_slot
from deltamem.train.consistency import EPSILON, disturbance
from deltamem.train.episodes import Turn
from deltamem.train.layers import queries, trained
from deltamem.train.step import ChatStep


def asked(told, targets):
    """A slot with nothing but what the loss looks at; targets: per row, how many."""
    rows = torch.full((len(told), 3), -100)
    for row, count in enumerate(targets):
        rows[row, :count] = 7
    return Slot(None, None, None, None, rows, told=torch.tensor(told))


def test_the_loss_by_hand():
    """Two layers with one state of rank 2; row 0 was told in turn 0, row 1 in turn 1, row 2 asks for no fact."""
    told = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    later = torch.tensor([[3.0, 1.0], [0.0, 3.0]])
    history = [torch.stack((told, told))[None, :, None].expand(3, 2, 1, 2, 2).clone() for _ in range(3)]
    history[2][:, 1, 0] = later  # the second layer's state was written after both were told
    history[1][1, 1, 0] = 2 * later
    q = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]).expand(3, 2, 1, 3, 2)
    # Row 0, layer 1: q = (1, 0) reads (3, 0) as told and now; q = (0, 1) reads (0, 1), now (1, 3): moved by 1 + 4.
    # Row 1, layer 1: told is 2 * later, now later: the read halves, so it moves by a quarter of its square.
    first = [0.0, 0.5 * 5 / (1 + EPSILON)]
    second = 0.5 * 9 / (36 + EPSILON)
    total, count = disturbance(q, history, asked([0, 1, -1], [2, 1, 3]))
    assert count == 3
    torch.testing.assert_close(total.item(), sum(first) + second, rtol=1e-5, atol=1e-6)


def test_nothing_written_since_is_no_loss_and_no_gradient():
    state = torch.randn(2, 3, 2, 4, 4, requires_grad=True)
    q = torch.nn.functional.normalize(torch.randn(2, 3, 2, 3, 4), dim=-1).requires_grad_()
    total, count = disturbance(q, [torch.zeros_like(state), state, state], asked([1, 2], [3, 2]))
    total.backward()
    assert total == 0 and count == 5 and not state.grad.any() and not q.grad.any()


def test_the_gradient_goes_to_what_is_read_now_and_not_to_what_was_told():
    before, after = torch.randn(2, 3, 2, 4, 4, requires_grad=True), torch.randn(2, 3, 2, 4, 4, requires_grad=True)
    disturbance(torch.randn(2, 3, 2, 3, 4), [before, after], asked([0, -1], [3, 3]))[0].backward()
    assert before.grad is None
    assert after.grad[0].any() and not after.grad[1].any()


def conversation(tiny, between):
    """A fact, `between`, and the question for the fact; two rows, the second asks for nothing told."""
    fact = Turn("My dog is Rex.", "Okay.")
    question = Turn("My dog?", "Rex.", learned=True, told=0)
    unknown = Turn("My cat?", "I do not know.", learned=True)
    turns = (("T", [fact, fact]), ("T", [between, between]), ("A", [question, unknown]))
    return [encode_slot(tiny.chat, rows, kind).trimmed() for kind, rows in turns]


def make_step(model, consistency=0.0, **config):
    torch.manual_seed(0)
    config = HFDeltaMemConfig(rank=4, alpha=8.0, num_state_heads=2, output_init="base_slice", **config)
    return ChatStep(model.backbone, trained(new_adapter(model.backbone, config)), consistency=consistency)


@pytest.mark.parametrize("write", ["token", "message_mean"])
def test_the_step_adds_what_later_turns_disturb(tiny, short_turns, write):
    plain = make_step(tiny, memory_write_granularity=write)
    both = make_step(tiny, 100.0, memory_write_granularity=write)
    silent, slots = (conversation(tiny, between) for between in (None, Turn("The sky is grey.", "It is.")))
    assert slots[2].told.tolist() == [0, -1] and slots[0].told is None
    assert both(silent).item() == pytest.approx(plain(silent).item(), abs=1e-5)
    assert both(slots) > plain(slots) + 0.1
    gradients = []
    for step in (plain, both):
        step.zero_grad()
        step(slots).backward()
        gradients.append(next(iter(step.adapter.layers.values())).beta_proj.grad)
    assert not torch.allclose(*gradients)


def test_layers_that_run_again_give_the_same_gradients(tiny, tiny_model_folder, short_turns):
    from deltamem.runtime import load_model

    again = load_model(str(tiny_model_folder), adapter=None, device="cpu")
    checkpoint_layers(again.backbone)
    again.backbone.train()
    gradients = []
    for model in (tiny, again):
        step = make_step(model, 1.0)
        step(conversation(model, Turn("The sky is grey.", "It is."))).backward()
        gradients.append([p.grad for p in step.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_queries_are_the_memory_s_own(tiny):
    """What a layer reads at a position of a fixed state is its query there times the state."""
    from deltamem.core.plan import Plan

    layers = make_step(tiny).adapter.layers
    hidden = tiny.backbone.config.hidden_size
    inputs = {name: torch.randn(2, 5, hidden) for name in layers}
    state, positions = torch.randn(2, 2, 4, 4), torch.tensor([[4, 0], [2, 2]])
    q = queries(layers, inputs, positions)
    for i, (name, layer) in enumerate(layers.items()):
        reads = layer(inputs[name], state, Plan(False))[0].gather(1, positions[..., None].expand(-1, -1, 8))
        torch.testing.assert_close((q[:, i] @ state.transpose(-1, -2)).transpose(1, 2).flatten(2), reads)
