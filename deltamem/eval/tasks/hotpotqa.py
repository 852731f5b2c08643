"""HotpotQA (Yang et al., 2018), distractor setting: two of ten passages hold the answer."""

from deltamem.compare.metrics import exact_match, normalise

from ..items import Conversation, Item, Row
from ..scores import first_line, hotpotqa_f1


def read(rows):
    """A conversation per question, a message per passage. Both published layouts of "context" are taken."""
    conversations = []
    for number, (where, value) in enumerate(rows):
        row = Row(value, where)
        key = next((row.text(name) for name in ("_id", "id") if row.has(name)), str(number))
        context = row.get("context", list, dict)
        if isinstance(context, list):  # [[title, [sentence, ...]], ...]
            context = [
                {"title": pair[0], "sentences": pair[1]} if isinstance(pair, list) and len(pair) == 2 else pair
                for pair in context
            ]
            row.value = {**row.value, "context": context}
        texts = [f"{one.text('title')}\n{''.join(one.texts('sentences')).strip()}" for one in row.rows("context")]
        item = Item(key, row.text("question"), [row.text("answer")], row.text("type") if row.has("type") else "")
        messages = [{"role": "user", "content": text} for text in texts]
        conversations.append(Conversation(key, messages, [item], texts))
    return conversations


def score(item, answer):
    """(the answer cleaned up, scores)"""
    said = first_line(answer)
    return said, {"em": exact_match(said, item.golds, normalise), "f1": hotpotqa_f1(said, item.golds)}
