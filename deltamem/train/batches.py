"""Conversations as tensors of fixed shapes, so that a training step can be captured once and replayed."""

import random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .curriculum import ASKING, LAYOUTS, TOKENS, choose_layout
from .episodes import Episodes, Turn

TARGETS = 20  # tokens of a reply that are learnt at most
KEPT = 16  # tokens of a turn whose predictions are kept as the backbone's own


class Slot(NamedTuple):
    """One turn of a batch.

    Attributes:
        ids: [B, T] token ids, padded on the right.
        valid: bool [B, T]; padding is False.
        spans: [B, 2]; where the user message ends, and where the reply begins after its header.
        positions: [B, TARGETS] where the prediction of a target is read, or None in a turn that asks nothing.
        targets: [B, TARGETS] token ids, -100 where there is none, or None in a turn that asks nothing.
        kept: [B, KEPT] evenly spread over an ordinary turn, where predictions are to stay the backbone's; -1: nowhere.
        messages: [B, T] number of each token's message, or None in a turn, which has two.
        told: [B] number of the turn that told what this one asks for, -1: none; or None in a turn that asks nothing.
    """

    ids: Tensor
    valid: Tensor
    spans: Tensor | None
    positions: Tensor | None
    targets: Tensor | None
    kept: Tensor | None = None
    messages: Tensor | None = None
    told: Tensor | None = None

    def trimmed(self) -> "Slot":
        """Without the columns that are padding in every row."""
        width = max(1, int(self.valid.sum(dim=1).max()))
        messages = self.messages if self.messages is None else self.messages[:, :width]
        return self._replace(ids=self.ids[:, :width], valid=self.valid[:, :width], messages=messages)

    def rows(self, part: int, parts: int) -> "Slot":
        """Every `parts`-th row, from row `part`."""
        return Slot(*(x if x is None else x[part::parts] for x in self))

    def to(self, device, non_blocking: bool = False) -> "Slot":
        return Slot(*(x if x is None else x.to(device, non_blocking=non_blocking) for x in self))


def padded(rows: list[list[int]], fill: int = 0) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as [B, T] with `fill` on the right, and which places hold a row's own: bool [B, T]."""
    lengths = torch.tensor([len(row) for row in rows])
    width = max(1, int(lengths.max()))
    values = torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.long)
    return values, torch.arange(width) < lengths[:, None]


class Encoded(NamedTuple):
    """Token ids of a turn, where its user message ends, and its targets [first, end)."""

    ids: list[int]
    asked: int
    first: int
    end: int


def encode_turn(chat, turn: Turn, limit: int) -> Encoded | None:
    """The turn cut to `limit` tokens, or None when its messages alone are too long.

    The targets are the reply and, when all of it fits, the token that ends it. Earlier exchanges of the pass must fit
    whole. A bare text is cut, and has no targets.
    """
    if turn.bare:
        ids = (chat.start + chat.text(turn.user))[:limit]
        return Encoded(ids, len(ids), len(ids), len(ids))
    asked = [i for user, reply in turn.before for i in chat.message("user", user) + chat.message("assistant", reply)]
    asked += chat.message("user", turn.user)
    first = len(asked) + len(chat.reply_header)
    if first + 4 > limit:
        return None
    reply = chat.text(turn.reply)
    ids = asked + chat.reply_header + reply + (chat.reply_footer if turn.whole else [])
    end = first + len(reply) + (1 if turn.whole else 0)
    return Encoded(ids[:limit], len(asked), first, min(end, limit, first + TARGETS))


def encode_slot(chat, turns: list[Turn | None], kind: str) -> Slot:
    """Tensors of one turn of every conversation of a batch. Turns that do not fit are left out (no token valid)."""
    width = TOKENS[kind]
    ids = torch.zeros(len(turns), width, dtype=torch.long)
    valid = torch.zeros(len(turns), width, dtype=torch.bool)
    spans = torch.zeros(len(turns), 2, dtype=torch.long)
    positions = torch.zeros(len(turns), TARGETS, dtype=torch.long)
    targets = torch.full((len(turns), TARGETS), -100)
    kept = torch.full((len(turns), KEPT), -1)
    told = torch.full((len(turns),), -1)
    for row, turn in enumerate(turns):
        encoded = turn and encode_turn(chat, turn, width)
        if not encoded:
            continue
        ids[row, : len(encoded.ids)] = torch.tensor(encoded.ids)
        valid[row, : len(encoded.ids)] = True
        spans[row] = torch.tensor((encoded.asked, encoded.first))
        if turn.ordinary:
            kept[row] = torch.arange(KEPT) * (len(encoded.ids) - 1) // KEPT
        if turn.learned:
            span = torch.arange(encoded.first, encoded.end)
            positions[row, : len(span)] = span - 1
            targets[row, : len(span)] = ids[row, encoded.first : encoded.end]
        if turn.told is not None:
            told[row] = turn.told
    if kind not in ASKING:
        positions = targets = told = None
    return Slot(ids, valid, spans, positions, targets, kept, told=told)


class Batches(Dataset):
    """Batch number `index` of a training of `steps` steps: (layout name, list of Slot). The same for the same seed.

    begin: where in the curriculum the training starts, 0 to 1 (1: its last stage throughout).
    share: of a layout's conversations that make a batch; small for small machines.
    part: (rank, processes): the batch is divided among so many processes, this one makes its own part.
    """

    def __init__(
        self,
        chat,
        episodes: Episodes,
        steps: int,
        seed: int,
        begin: float = 0.0,
        share: float = 1.0,
        part: tuple[int, int] = (0, 1),
    ):
        self.chat, self.episodes, self.steps, self.seed = chat, episodes, steps, seed
        self.begin, self.share, self.part = begin, share, part

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[str, list[Slot]]:
        name = self.layout(index)
        layout = LAYOUTS[name]
        rank, processes = self.part
        rows = range(rank, max(processes, round(self.share * layout.batch)), processes)
        conversations = [self._fitting(random.Random(f"batch {self.seed} {index} {row}"), layout) for row in rows]
        return name, [
            encode_slot(self.chat, [conversation[i] for conversation in conversations], kind)
            for i, kind in enumerate(layout.slots)
        ]

    def layout(self, index: int) -> str:
        progress = self.begin + (1 - self.begin) * index / self.steps
        return choose_layout(random.Random(f"layout {self.seed} {index}"), progress, self.episodes.by_message)

    def _fitting(self, rng: random.Random, layout) -> list[Turn | None]:
        """A conversation all of whose turns fit: a fact that was never read must not be asked for."""
        while True:
            conversation = self.episodes.make(rng, layout)
            if all(
                turn is None or encode_turn(self.chat, turn, TOKENS[kind])
                for turn, kind in zip(conversation, layout.slots, strict=True)
            ):
                return conversation
