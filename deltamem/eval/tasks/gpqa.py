"""GPQA-Diamond (Rein et al., 2023): graduate-level questions with four options."""

import random

from ..items import Conversation, Item, Row
from ..scores import last_letter

OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def read(rows):
    """A conversation without history per question; the record's own id decides the order of its options."""
    conversations = []
    for where, value in rows:
        row = Row(value, where)
        key = row.text("Record ID")
        options = [row.text(name).strip() for name in OPTIONS]
        order = list(range(4))
        random.Random(f"gpqa {key}").shuffle(order)
        listed = "\n".join(f"{letter}) {options[place]}" for letter, place in zip("ABCD", order, strict=True))
        kind = row.text("High-level domain") if row.has("High-level domain") else ""
        item = Item(key, f"{row.text('Question').strip()}\n\n{listed}", ["ABCD"[order.index(0)]], kind)
        conversations.append(Conversation(key, [], [item]))
    return conversations


def score(item, answer):
    """(the letter or "", scores)"""
    letter = last_letter(answer)
    return letter or "", {"accuracy": float(letter == item.golds[0]), "parsed": float(letter is not None)}
