"""Answers of a whole batch: rows of different prompts, each with a memory of its own, decoded together."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from deltamem.core.binding import Binding, bind
from deltamem.runtime.blocks import Block
from deltamem.runtime.errors import SessionError
from deltamem.runtime.run import sentence_ids


@dataclass(frozen=True)
class Draw:
    """How every row draws its tokens. temperature 0: the likeliest. top_k 0 and top_p 1: from all tokens.

    The draws of a row come from its own generator, so they do not depend on the rows beside it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0

    def pick(self, logits: Tensor, dice: list[random.Random]) -> Tensor:
        """Next token ids [B] from logits [B, vocabulary]."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        ordered, tokens = logits.float().sort(dim=-1, descending=True)
        if self.top_k:
            ordered, tokens = ordered[:, : self.top_k], tokens[:, : self.top_k]
        shares = torch.softmax((ordered - ordered[:, :1]) / self.temperature, dim=-1)
        # A token stays when the ones before it do not reach top_p yet: the first always does.
        shares = shares.masked_fill(shares.cumsum(-1) - shares >= self.top_p, 0.0)
        sums = shares.cumsum(-1)
        thrown = torch.tensor([[die.random()] for die in dice], device=logits.device, dtype=sums.dtype) * sums[:, -1:]
        kept = (shares > 0).sum(-1, keepdim=True)
        place = torch.searchsorted(sums, thrown, right=True).minimum(kept - 1)
        return tokens.gather(1, place).squeeze(1)


@dataclass
class RowAnswer:
    """ids: the answer without its end. stop: "eos", or "length" when the row's limit came first."""

    ids: list[int]
    stop: str = "length"


@torch.no_grad()
def answer_rows(
    backbone,
    chat,
    prompts: list[Block],
    limits: list[int],
    draw: Draw = Draw(),  # noqa: B008 (frozen)
    seeds: list | None = None,
    binding: Binding | None = None,
    prefix: DynamicCache | None = None,
) -> list[RowAnswer]:
    """An answer of at most limits[i] tokens to each prompts[i], all in one batch.

    Args:
        prompts: whole prompts, or what follows the prefix; `write` marks what enters the memory.
        seeds: what row i's draws are seeded with; not needed at temperature 0.
        binding: the memory; row i of its states belongs to prompts[i]. What is drawn is written as well where the
            adapter writes tokens (unless binding.write is off). None: the backbone alone.
        prefix: KV of one row [1, ...] that all prompts continue; it is left as it is.

    Raises SessionError when the model's output is not a number.
    """
    device = backbone.device
    rows = _Rows(prompts, binding, chat, device, prefix)
    dice = [random.Random(seed) for seed in (seeds if seeds is not None else range(len(prompts)))]
    answers = [RowAnswer([]) for _ in prompts]
    active = list(range(len(prompts)))  # the prompt that each row of the batch belongs to
    with bind(backbone, binding):
        logits = rows.start(backbone)
        while True:
            _check_numbers(logits)
            tokens = draw.pick(logits, [dice[i] for i in active])
            going = []
            for row, token in enumerate(tokens.tolist()):
                answer = answers[active[row]]
                if answer.stop == "eos" or len(answer.ids) >= limits[active[row]]:
                    continue
                if token in chat.stop_ids:
                    answer.stop = "eos"
                    continue
                answer.ids.append(token)
                if len(answer.ids) < limits[active[row]]:
                    going.append(row)
            if not going:
                return answers
            if 2 * len(going) <= len(active):  # the finished rows are worth their moving away
                rows.keep(going)
                tokens, active = tokens[going], [active[row] for row in going]
            logits = rows.step(backbone, tokens)


def _check_numbers(logits):
    highest = logits.amax(dim=-1)
    if not torch.isfinite(highest).all():
        wrong = highest[~highest.isfinite()][0].item()
        raise SessionError(
            f"The model's output is {wrong} instead of a number; use another adapter or a lower strength."
        )


class _Rows:
    """The tensors of a batch: right-aligned prompts, mask, positions, KV, and the memory's marks."""

    def __init__(self, prompts, binding, chat, device, prefix):
        self.binding, self.writing = binding, binding is not None and binding.write
        count, width = len(prompts), max(map(len, prompts))
        past = prefix.get_seq_length() if prefix is not None else 0
        self.cache = DynamicCache()
        if past:
            for index, layer in enumerate(prefix.layers):
                keys, values = (t.expand(count, -1, -1, -1) for t in (layer.keys, layer.values))
                self.cache.update(keys, values, index)
        pad = min(chat.stop_ids)
        lines = [[pad] * (width - len(p)) + list(p.ids) for p in prompts]
        self.ids = torch.tensor(lines, device=device)
        self.mask = torch.ones(count, past + width, dtype=torch.long, device=device)
        lengths = torch.tensor([len(p) for p in prompts], device=device)
        self.mask[:, past:] = torch.arange(width, device=device) >= (width - lengths)[:, None]
        self.next = past + lengths  # position of each row's next token
        steps = torch.arange(width, device=device) - (width - lengths)[:, None]
        self.positions = past + steps.clamp_min(0)
        if self.writing:
            self._mark(prompts, width, chat, device)

    def _mark(self, prompts, width, chat, device):
        """Tell the binding which prompt tokens enter the memory."""
        granularity = self.binding.adapter.config.memory_write_granularity
        self.by_message = granularity != "token"
        marks = [[False] * (width - len(p)) + list(p.write) for p in prompts]
        marks = torch.tensor(marks, device=device)
        if not self.by_message:
            self.binding.write_mask = marks
            return
        self.binding.message_ids = torch.where(marks, 0, -1)
        if granularity == "sentence_mean":
            found = [[-1] * (width - len(p)) + sentence_ids(p, chat) for p in prompts]
            self.binding.sentence_ids = torch.tensor(found, device=device)

    def start(self, backbone):
        """The pass over the prompts: logits [B, vocabulary] of each last token."""
        logits = self._pass(backbone, self.ids, self.positions)
        if self.writing:
            self.binding.write_mask = self.binding.message_ids = self.binding.sentence_ids = None
            self.binding.write = not self.by_message  # a message of the answer's would be written when it is whole
        return logits

    def step(self, backbone, tokens):
        """The pass over one more token of every row, those that are finished too."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        logits = self._pass(backbone, tokens[:, None], self.next[:, None])
        self.next = self.next + 1
        return logits

    def keep(self, rows):
        """Only these rows go on."""
        chosen = torch.tensor(rows, device=self.mask.device)
        self.cache.batch_select_indices(chosen)
        self.mask, self.next = self.mask[chosen], self.next[chosen]
        if self.binding is not None:
            self.binding.states = {name: state[chosen] for name, state in self.binding.states.items()}

    def _pass(self, backbone, ids, positions):
        out = backbone(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1]
