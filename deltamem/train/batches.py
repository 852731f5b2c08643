"""Conversations as tensors of fixed shapes, so that a training step can be captured once and replayed."""

import random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .episodes import LAYOUTS, TOKENS, Episodes, Turn, choose_layout

TARGETS = 20  # tokens of a reply that are learnt at most


class Slot(NamedTuple):
    """One turn of a batch.

    Attributes:
        ids: [B, T] token ids, padded on the right.
        valid: bool [B, T]; padding is False.
        positions: [B, TARGETS] where the prediction of a target is read, or None in a tell turn.
        targets: [B, TARGETS] token ids, -100 where there is none, or None in a tell turn.
    """

    ids: Tensor
    valid: Tensor
    positions: Tensor | None
    targets: Tensor | None

    def trimmed(self) -> "Slot":
        """Without the columns that are padding in every row."""
        width = max(1, int(self.valid.sum(dim=1).max()))
        return self._replace(ids=self.ids[:, :width], valid=self.valid[:, :width])

    def to(self, device, non_blocking: bool = False) -> "Slot":
        return Slot(*(x if x is None else x.to(device, non_blocking=non_blocking) for x in self))


def encode_turn(chat, turn: Turn, limit: int) -> tuple[list[int], int, int] | None:
    """(ids, first target, end of targets) of a turn cut to `limit` tokens, or None when the message alone is too long.

    The targets are the reply and, when all of it fits, the token that ends it.
    """
    prompt = chat.message("user", turn.user) + chat.reply_header
    reply = chat.text(turn.reply)
    ids = prompt + reply + (chat.reply_footer if turn.whole else [])
    if len(prompt) + 4 > limit:
        return None
    end = len(prompt) + len(reply) + (1 if turn.whole else 0)
    return ids[:limit], len(prompt), min(end, limit, len(prompt) + TARGETS)


def encode_slot(chat, turns: list[Turn | None], kind: str) -> Slot:
    """Tensors of one turn of every conversation of a batch. Turns that do not fit are left out (no token valid)."""
    width = TOKENS[kind]
    ids = torch.zeros(len(turns), width, dtype=torch.long)
    valid = torch.zeros(len(turns), width, dtype=torch.bool)
    positions = torch.zeros(len(turns), TARGETS, dtype=torch.long)
    targets = torch.full((len(turns), TARGETS), -100)
    for row, turn in enumerate(turns):
        encoded = turn and encode_turn(chat, turn, width)
        if not encoded:
            continue
        tokens, first, end = encoded
        ids[row, : len(tokens)] = torch.tensor(tokens)
        valid[row, : len(tokens)] = True
        if turn.learned:
            span = torch.arange(first, end)
            positions[row, : len(span)] = span - 1
            targets[row, : len(span)] = ids[row, first:end]
    return Slot(ids, valid, positions, targets) if kind == "A" else Slot(ids, valid, None, None)


class Batches(Dataset):
    """Batch number `index` of a training of `steps` steps: (layout name, list of Slot). The same for the same seed.

    begin: where in the curriculum the training starts, 0 to 1 (1: its last stage throughout).
    share: of a layout's conversations that make a batch; small for small machines.
    """

    def __init__(self, chat, episodes: Episodes, steps: int, seed: int, begin: float = 0.0, share: float = 1.0):
        self.chat, self.episodes, self.steps, self.seed = chat, episodes, steps, seed
        self.begin, self.share = begin, share

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[str, list[Slot]]:
        name = self.layout(index)
        rng = random.Random(f"batch {self.seed} {index}")
        layout = LAYOUTS[name]
        conversations = [self._fitting(rng, layout) for _ in range(max(1, round(self.share * layout.batch)))]
        return name, [
            encode_slot(self.chat, [conversation[i] for conversation in conversations], kind)
            for i, kind in enumerate(layout.slots)
        ]

    def layout(self, index: int) -> str:
        return choose_layout(
            random.Random(f"layout {self.seed} {index}"), self.begin + (1 - self.begin) * index / self.steps
        )

    def _fitting(self, rng: random.Random, layout) -> list[Turn | None]:
        """A conversation all of whose turns fit: a fact that was never read must not be asked for."""
        while True:
            conversation = self.episodes.make(rng, layout)
            if all(
                turn is None or encode_turn(self.chat, turn, TOKENS[kind])
                for turn, kind in zip(conversation, layout.slots, strict=True)
            ):
                return conversation
