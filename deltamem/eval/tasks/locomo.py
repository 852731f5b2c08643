"""LoCoMo (Maharana et al., 2024): questions about ten very long conversations of two people."""

import re

from ..items import Conversation, Item, Row
from ..scores import first_line, locomo_f1, locomo_tokens

CATEGORIES = (1, 2, 3, 4)  # 5, adversarial, is not asked


def read(rows):
    """Conversations of locomo10.json: a message per session, a passage per line with its session's date."""
    conversations = []
    for where, value in rows:
        row = Row(value, where)
        spoken = Row(row.get("conversation", dict), f"{where}, conversation")
        messages, passages = [], []
        for number in sorted(int(m[1]) for m in map(re.compile(r"session_(\d+)").fullmatch, spoken.value) if m):
            date = spoken.text(f"session_{number}_date_time")
            lines = [
                f'{turn.text("speaker")} said, "{turn.get("text", str)}"' for turn in spoken.rows(f"session_{number}")
            ]
            messages.append({"role": "user", "content": "\n".join([f"DATE: {date}", "CONVERSATION:", *lines])})
            passages += [f"DATE: {date} {line}" for line in lines]
        names = {"speaker_a": spoken.text("speaker_a"), "speaker_b": spoken.text("speaker_b")}
        key = row.text("sample_id")
        items = [
            Item(f"{key}/{index}", qa.text("question"), [qa.text("answer")], str(qa.get("category", int)))
            for index, qa in enumerate(row.rows("qa"))
            if qa.get("category", int) in CATEGORIES
        ]
        conversations.append(Conversation(key, messages, items, passages, names))
    return conversations


def score(item, answer):
    """(the answer cleaned up, scores)"""
    said = first_line(answer)
    return said, {"f1": locomo_f1(said, item.golds[0], item.kind)}


def check_packages():
    """Raise EvalError now rather than after the first answers."""
    locomo_tokens("stems")
