"""LongMemEval (Wu et al., 2024): questions about what a user told an assistant in earlier chats."""

from deltamem.compare.metrics import contains, normalise, token_f1

from ..errors import EvalError
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
            dates, sessions = row.texts("haystack_dates"), row.get("haystack_sessions", list)
            if len(dates) != len(sessions):
                raise EvalError(f"{where} has {len(dates)} dates of {len(sessions)} sessions; give the published file.")
            sessions = [Row({"turns": turns}, f"{where}, session {i}") for i, turns in enumerate(sessions)]
            turns = [(date, turn) for date, one in zip(dates, sessions, strict=True) for turn in one.rows("turns")]
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
            content, role = turn.get("content", str), turn.text("role")
            if role not in ("user", "assistant"):
                raise EvalError(f'{turn.where}, "role" is "{role}"; it must be user or assistant.')
            if content.strip():  # the date is told once, with the first message of its chat
                text = content if date == last else f"[{date}] {content}"
                messages.append({"role": role, "content": text})
                last = date
        passages = [f"{date} {turn.text('role')}: {turn.get('content', str)}" for date, turn in turns]
        conversations.append(Conversation(key, messages, items, passages))
    return conversations


def score(item, answer):
    """(the answer cleaned up, scores). The official score asks a large model; these two need none, and are stricter."""
    said = first_line(answer)
    return said, {"contains": contains(answer, item.golds), "f1": token_f1(said, item.golds, normalise)}
