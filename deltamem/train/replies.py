"""Batched greedy answers of a backbone, with or without a memory."""

from tqdm import tqdm

from deltamem.core.binding import Binding
from deltamem.runtime.blocks import block, join
from deltamem.runtime.rows import answer_rows


def greedy_replies(
    backbone, chat, prompts: list[list[int]], binding: Binding | None = None, max_new_tokens: int = 20
) -> list[str]:
    """The greedy reply to each prompt (token ids that end with the reply header), one text per prompt.

    binding: the memory that all rows read and write (row i of its state belongs to prompt i), or None for the
    backbone alone. A memory of whole messages takes the question without the reply's header, as in a chat.
    """
    by_token = binding is None or binding.adapter.config.memory_write_granularity == "token"
    header = len(chat.reply_header)
    blocks = [join([block(prompt[:-header], True), block(prompt[-header:], by_token)]) for prompt in prompts]
    answers = answer_rows(backbone, chat, blocks, [max_new_tokens] * len(prompts), binding=binding)
    return [chat.decode(answer.ids) for answer in answers]


def ordinary_pairs(backbone, chat, prompts: list[str], batch: int = 256) -> list[tuple[str, str]]:
    """(prompt, the backbone's own reply) for every prompt: what it should go on answering."""
    pairs = []
    for start in tqdm(range(0, len(prompts), batch), desc="ordinary answers, to be rehearsed", leave=False):
        some = prompts[start : start + batch]
        ids = [chat.start + chat.message("user", prompt) + chat.reply_header for prompt in some]
        pairs += zip(some, greedy_replies(backbone, chat, ids), strict=True)
    return [(prompt, reply.strip()) for prompt, reply in pairs if reply.strip()]
