"""Whole batches: rows of different texts, each with a memory of its own, written and answered together."""

import random
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from deltamem.core.binding import Binding, bind
from deltamem.runtime.blocks import Block
from deltamem.runtime.prompt import View, check_messages
from deltamem.runtime.run import sentence_ids
from deltamem.runtime.sampling import check_token, draw, likeliest


@dataclass(frozen=True)
class Draw:
    """How every row draws its tokens. temperature 0: the likeliest. top_k 0 and top_p 1: from all tokens.

    The draws of a row come from its own generator, so they do not depend on the rows beside it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0

    def pick(self, logits: Tensor, dice: list[random.Random]) -> Tensor:
        """Next token ids [B] from logits [B, vocabulary]; NO_NUMBER where they are no numbers."""
        if self.temperature == 0:
            return likeliest(logits)
        numbers = torch.tensor([die.random() for die in dice], device=logits.device)
        temperature, top_p = (torch.full_like(numbers, value) for value in (self.temperature, self.top_p))
        return draw(logits, temperature, top_p, numbers, self.top_k)


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
    before: list[list[Block]] | None = None,
) -> list[RowAnswer]:
    """An answer of at most limits[i] tokens to each prompts[i], all in one batch.

    Args:
        prompts: whole prompts, or what follows the prefix; `write` marks what enters the memory.
        seeds: what row i's draws are seeded with; not needed at temperature 0.
        binding: the memory; row i of its states belongs to prompts[i]. What is drawn is written as well where the
            adapter writes tokens. None: the backbone alone.
        prefix: KV of one row [1, ...] that all prompts continue; it is left as it is.
        before: passes of each row's own that come before its prompt, as segment writes need them.

    Raises NotANumber when the model's output is not a number.
    """
    batch = _Batch(backbone, chat, len(prompts), binding, prefix)
    dice = [random.Random(seed) for seed in (seeds if seeds is not None else range(len(prompts)))]
    answers = [RowAnswer([]) for _ in prompts]
    active = list(range(len(prompts)))  # the prompt that each row of the batch belongs to
    for blocks in _in_step(before or []):
        batch.feed(blocks)
    logits = batch.feed(prompts)
    while True:
        tokens = draw.pick(logits, [dice[i] for i in active])
        going = []
        for row, token in enumerate(map(check_token, tokens.tolist())):
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
            batch.keep(going)
            tokens, active = tokens[going], [active[row] for row in going]
        logits = batch.step(tokens)


def _in_step(lines):
    """The blocks of every line side by side, so that all lines end together; empty ones before a shorter line."""
    depth = max(map(len, lines), default=0)
    padded = [[Block([], [])] * (depth - len(line)) + line for line in lines]
    return [list(blocks) for blocks in zip(*padded, strict=True)]


@torch.no_grad()
def write_rows(
    model, adapter, histories: list[list[dict]], rows: int = 64, progress=None
) -> list[tuple[dict[str, Tensor], int]]:
    """The memory after each history, as Session.preload leaves it: ({module: [1, H, r, r]}, tokens written) each.

    model: runtime Model. histories: lists of {"role", "content"} dicts. rows: how many are written side by side.
    progress: called with (tokens written so far, of all) after every pass.
    Raises SessionError for a history that a session would not take either.
    """
    by_message = adapter.config.memory_write_granularity != "token"
    view = View(model.chat, "none", None, 1, by_message, model.max_context)
    left = [view.history(check_messages(messages), True) for messages in histories]
    written = [sum(sum(part.write) for group in groups for part in group) for groups in left]
    states = adapter.empty_states(len(histories))
    done = 0

    def fed(blocks):
        nonlocal done
        done += sum(sum(block.write) for block in blocks)
        if progress:
            progress(done, sum(written))

    while waiting := [index for index, groups in enumerate(left) if groups]:
        waiting = sorted(waiting, key=lambda index: -len(left[index][0]))  # those with most passes to come first
        for start in range(0, len(waiting), rows):
            some = waiting[start : start + rows]
            _write_groups(model, adapter, [left[index].pop(0) for index in some], states, some, fed)
    return [({name: s[i : i + 1] for name, s in states.items()}, count) for i, count in enumerate(written)]


def _write_groups(model, adapter, groups, states, places, fed):
    """Feed every row's group of passes, which share a KV, and put its state back in its place. Longest group first.
    fed: called with the blocks of every pass."""
    binding = Binding(adapter, {name: state[places] for name, state in states.items()})
    batch = _Batch(model.backbone, model.chat, len(groups), binding)

    def put_back(begin, end):
        for name, state in binding.states.items():
            states[name][places[begin:end]] = state[begin:]

    count = len(groups)
    for turn in range(len(groups[0])):
        going = sum(len(group) > turn for group in groups)
        if going < count:
            put_back(going, count)
            batch.keep(list(range(going)))
            count = going
        blocks = [group[turn] for group in groups[:going]]
        batch.feed(blocks)
        fed(blocks)
    put_back(0, count)


class _Batch:
    """Rows in progress: their KV, mask and positions, and the memory's marks for each pass."""

    def __init__(self, backbone, chat, count, binding, prefix=None):
        self.backbone, self.chat, self.binding = backbone, chat, binding
        self.device = backbone.device
        self.granularity = binding.adapter.config.memory_write_granularity if binding is not None else "token"
        past = prefix.get_seq_length() if prefix is not None else 0
        self.cache = DynamicCache()
        if past:
            for index, layer in enumerate(prefix.layers):
                keys, values = (t.expand(count, -1, -1, -1) for t in (layer.keys, layer.values))
                self.cache.update(keys, values, index)
        self.mask = torch.ones(count, past, dtype=torch.long, device=self.device)
        self.next = torch.full((count,), past, device=self.device)  # position of each row's next token

    def feed(self, blocks):
        """A pass over one block a row, padded on the left. Logits [B, vocabulary] of each last token."""
        width = max(map(len, blocks))
        lengths = torch.tensor([len(b) for b in blocks], device=self.device)
        steps = torch.arange(width, device=self.device) - (width - lengths)[:, None]
        self._mark(blocks, width)
        positions = self.next[:, None] + steps.clamp_min(0)
        self.next = self.next + lengths
        ids = self._padded([b.ids for b in blocks], width, min(self.chat.stop_ids))
        return self._pass(ids, (steps >= 0).long(), positions)

    def step(self, tokens):
        """A pass over one drawn token of every row, those that are finished too."""
        if self.binding is not None:
            self.binding.write_mask = self.binding.message_ids = self.binding.sentence_ids = None
            self.binding.write = self.granularity == "token"  # a message is written when it is whole, never in parts
        positions, self.next = self.next[:, None], self.next + 1
        return self._pass(tokens[:, None], self.mask.new_ones(len(tokens), 1), positions)

    def keep(self, rows):
        """Only these rows go on."""
        chosen = torch.tensor(rows, device=self.device)
        self.cache.batch_select_indices(chosen)
        self.mask, self.next = self.mask[chosen], self.next[chosen]
        if self.binding is not None:
            self.binding.states = {name: state[chosen] for name, state in self.binding.states.items()}

    def _mark(self, blocks, width):
        """Tell the binding which tokens enter the memory."""
        if self.binding is None:
            return
        self.binding.write = any(any(b.write) for b in blocks)
        marks = self._padded([b.write for b in blocks], width, False)
        if self.granularity == "token":
            self.binding.write_mask = marks
            return
        self.binding.message_ids = torch.where(marks, 0, -1)
        if self.granularity == "sentence_mean":
            self.binding.sentence_ids = self._padded([sentence_ids(b, self.chat) for b in blocks], width, -1)

    def _padded(self, lines, width, filler):
        return torch.tensor([[filler] * (width - len(line)) + list(line) for line in lines], device=self.device)

    def _pass(self, ids, valid, positions):
        self.mask = torch.cat([self.mask, valid], dim=1)
        with bind(self.backbone, self.binding):
            out = self.backbone(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[:, -1]
