"""LongMemEval (Wu et al., 2024): questions about what a user told an assistant in earlier chats."""

from deltamem.compare.metrics import contains, normalise, token_f1

from ..items import Conversation, Item, Row
from ..scores import first_line


def read(rows):
    """A conversation per history. Takes the original layout, and that of the samples with "conversation".

    Questions that have no answer are left out: without a judge model, nothing tells a right refusal from a wrong one.
    """
    conversations = []
    for where, value in rows:
        row = Row(value, where)
        kind = row.text("question_type")
        if row.has("haystack_sessions"):
            key = row.text("question_id")
            dates = row.texts("haystack_dates")
            turns = [
                (date, Row(turn, f"{where}, session {number}"))
                for number, (date, session) in enumerate(zip(dates, row.get("haystack_sessions", list), strict=False))
                for turn in session
            ]
            items = [] if key.endswith("_abs") else [Item(key, row.text("question"), [row.text("answer")], kind)]
        else:
            key = row.text("id")
            turns = [(turn.text("date"), turn) for turn in row.rows("conversation")]
            items = [
                Item(f"{key}/{qa.text('id')}", qa.text("question"), [qa.text("answer")], kind)
                for qa in row.rows("questions")
                if not qa.value.get("is_abstention")
            ]
        messages, last = [], None
        for date, turn in turns:
            content = turn.get("content", str)
            if content.strip():  # the date is told once, with the first message of its chat
                text = content if date == last else f"[{date}] {content}"
                messages.append({"role": turn.text("role"), "content": text})
                last = date
        passages = [f"{date} {turn.text('role')}: {turn.get('content', str)}" for date, turn in turns]
        conversations.append(Conversation(key, messages, items, passages))
    return conversations


def score(item, answer):
    """(the answer cleaned up, scores). The official score asks a large model; these two need none, and are stricter."""
    said = first_line(answer)
    return said, {"contains": contains(answer, item.golds), "f1": token_f1(said, item.golds, normalise)}
