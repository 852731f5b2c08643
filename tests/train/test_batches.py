"""Conversations as tensors."""

import random

import pytest
import torch

from deltamem.train.batches import TARGETS, Batches, encode_slot, encode_turn
from deltamem.train.curriculum import BY_MESSAGE, CURRICULUM, LAYOUTS, choose_layout
from deltamem.train.episodes import Turn


def test_targets_are_the_reply_and_its_end(tiny):
    turn = Turn("Where?", "Here.", learned=True)
    ids, asked, first, end = encode_turn(tiny.chat, turn, 200)
    assert tiny.chat.decode(ids[first:end]).strip() == "Here."
    assert ids[end - 1] in tiny.chat.stop_ids
    assert ids == tiny.chat.message("user", "Where?") + tiny.chat.message("assistant", "Here.")
    assert ids[:asked] == tiny.chat.message("user", "Where?") and ids[asked:first] == tiny.chat.reply_header


def test_a_reply_that_goes_on_has_no_end_among_its_targets(tiny):
    ids, _, first, end = encode_turn(tiny.chat, Turn("Where?", "Here", learned=True, whole=False), 200)
    assert not set(ids[first:end]) & tiny.chat.stop_ids


def test_earlier_exchanges_stand_before_the_turn(tiny):
    ids, asked, first, _ = encode_turn(tiny.chat, Turn("And?", "So.", before=(("Hi", "Hello"),)), 300)
    before = tiny.chat.message("user", "Hi") + tiny.chat.message("assistant", "Hello")
    assert ids[:asked] == before + tiny.chat.message("user", "And?")
    assert tiny.chat.decode(ids[first:]).strip() == "So."


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
            assert (slot.positions[rows, columns] + 1 >= slot.spans[rows, 1]).all()


def test_trimming_only_drops_padding(batches):
    for slot in batches[0][1]:
        trimmed = slot.trimmed()
        assert int(trimmed.valid.sum()) == int(slot.valid.sum())
        assert trimmed.valid.any(dim=0)[-1]


def test_the_same_index_is_the_same_batch(batches):
    first, second = batches[2], batches[2]
    assert first[0] == second[0]
    assert all(torch.equal(a.ids, b.ids) for a, b in zip(first[1], second[1], strict=True))


def test_processes_share_a_batch_without_overlap(batches):
    batches.share = 0.04
    whole = batches[1][1][0].ids
    halves = [
        Batches(batches.chat, batches.episodes, batches.steps, batches.seed, share=0.04, part=(rank, 2))[1][1][0].ids
        for rank in (0, 1)
    ]
    assert [row.tolist() for pair in zip(*halves, strict=False) for row in pair] == whole[: 2 * len(halves[1])].tolist()


@pytest.mark.parametrize("by_message,first,stages", [(False, "one", CURRICULUM), (True, "note", BY_MESSAGE)])
def test_single_facts_come_first_and_more_later(by_message, first, stages):
    rng = random.Random(0)
    assert {choose_layout(rng, 0.05, by_message) for _ in range(50)} == {first}
    assert {choose_layout(rng, 0.9, by_message) for _ in range(600)} == set(stages[-1][1])
    assert set(LAYOUTS) == set(CURRICULUM[-1][1]) | set(BY_MESSAGE[-1][1])


def test_ordinary_turns_are_kept_and_no_others(tiny, short_turns):
    plain, told = Turn("Hello there, how are you?", "Fine.", ordinary=True), Turn("My dog is Rex.", "Okay.")
    bare = Turn("Text alone goes on and on.", "", ordinary=True, bare=True)
    slot = encode_slot(tiny.chat, [plain, told, None, bare], "T")
    there = (slot.kept >= 0).all(dim=1)
    assert there.tolist() == [True, False, False, True] and (slot.kept[~there] == -1).all()
    assert slot.valid.gather(1, slot.kept.clamp_min(0))[there].all()
    assert slot.ids[3, : slot.valid[3].sum()].tolist() == tiny.chat.start + tiny.chat.text(bare.user)
