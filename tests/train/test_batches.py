"""Conversations as tensors."""

import random

import torch

from deltamem.train.batches import TARGETS, encode_turn
from deltamem.train.episodes import LAYOUTS, Turn, choose_layout


def test_targets_are_the_reply_and_its_end(tiny):
    turn = Turn("Where?", "Here.", learned=True)
    ids, first, end = encode_turn(tiny.chat, turn, 200)
    assert tiny.chat.decode(ids[first:end]).strip() == "Here."
    assert ids[end - 1] in tiny.chat.stop_ids
    assert ids == tiny.chat.message("user", "Where?") + tiny.chat.message("assistant", "Here.")


def test_a_reply_that_goes_on_has_no_end_among_its_targets(tiny):
    ids, first, end = encode_turn(tiny.chat, Turn("Where?", "Here", learned=True, whole=False), 200)
    assert not set(ids[first:end]) & tiny.chat.stop_ids


def test_a_message_that_is_too_long_is_refused(tiny):
    assert encode_turn(tiny.chat, Turn("x" * 500, "y"), 56) is None


def test_positions_predict_targets(batches):
    for index in range(4):
        name, slots = batches[index]
        assert len(slots) == len(LAYOUTS[name].slots)
        for slot in slots:
            if slot.targets is None:
                continue
            assert slot.targets.shape[1] == TARGETS
            rows, columns = torch.nonzero(slot.targets >= 0, as_tuple=True)
            following = slot.ids[rows, slot.positions[rows, columns] + 1]
            assert torch.equal(following, slot.targets[rows, columns])
            assert slot.valid[rows, slot.positions[rows, columns] + 1].all()


def test_trimming_only_drops_padding(batches):
    for slot in batches[0][1]:
        trimmed = slot.trimmed()
        assert int(trimmed.valid.sum()) == int(slot.valid.sum())
        assert trimmed.valid.any(dim=0)[-1]


def test_the_same_index_is_the_same_batch(batches):
    first, second = batches[2], batches[2]
    assert first[0] == second[0]
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(first[1], second[1], strict=True))


def test_every_asked_fact_was_told(batches):
    for seed in range(30):
        rng = random.Random(seed)
        turns = batches.episodes.make(rng, LAYOUTS["four"])
        told = " ".join(turn.user for turn in turns if turn and not (turn.learned and turn.user.endswith("?"))).lower()
        for turn in turns:
            if turn and turn.learned and turn.whole and turn.reply.startswith("Your "):
                value = turn.reply.rstrip(".").split()[-1]
                assert value.lower() in told


def test_single_facts_come_first():
    rng = random.Random(0)
    assert {choose_layout(rng, 0.05) for _ in range(50)} == {"one"}
    assert {choose_layout(rng, 0.9) for _ in range(200)} == set(LAYOUTS)
