"""Batched greedy answers of a backbone, with or without a memory."""

import torch

from deltamem.core.binding import Binding, bind


@torch.no_grad()
def greedy_replies(
    backbone, chat, prompts: list[list[int]], binding: Binding | None = None, max_new_tokens: int = 20
) -> list[str]:
    """The greedy reply to each prompt (token ids that end with the reply header), one text per prompt.

    binding: the memory that all rows read and write (row i of its state belongs to prompt i), or None for the
    backbone alone.
    """
    device = backbone.device
    stops = sorted(chat.stop_ids)
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), stops[0])
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    with bind(backbone, binding):
        out = backbone.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stops,
            pad_token_id=stops[0],
        )
    return [chat.decode(_until_stop(row[width:].tolist(), chat.stop_ids)) for row in out]


def _until_stop(ids: list[int], stops: frozenset[int]) -> list[int]:
    for i, token in enumerate(ids):
        if token in stops:
            return ids[:i]
    return ids


def ordinary_pairs(backbone, chat, prompts: list[str], batch: int = 256) -> list[tuple[str, str]]:
    """(prompt, the backbone's own reply) for every prompt: what it should go on answering."""
    pairs = []
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        ids = [chat.start + chat.message("user", prompt) + chat.reply_header for prompt in some]
        pairs += zip(some, greedy_replies(backbone, chat, ids), strict=True)
    return [(prompt, reply.strip()) for prompt, reply in pairs if reply.strip()]
