"""QASPER (Dasigi et al., 2021): questions about scientific papers."""

from deltamem.compare.metrics import normalise, token_f1

from ..items import Conversation, Item, Row
from ..scores import first_line


def read(rows):
    """A conversation per paper, a message per section. Takes the original file and the hub's layout."""
    conversations = []
    for number, (where, value) in enumerate(rows):
        row = Row(value, where)
        key = next((row.text(name) for name in ("_key", "id") if row.has(name)), str(number))
        sections = [f"{row.text('title')}\n\n{row.get('abstract', str)}"]
        for section in row.rows("full_text"):
            body = "\n".join(section.texts("paragraphs"))
            sections.append(f"{section.value.get('section_name') or ''}\n{body}".strip())
        passages = [part for section in sections for part in section.split("\n") if part.strip()]
        items = []
        for qa in row.rows("qas"):
            golds = [gold for answer in _answers(qa) if (gold := _gold(answer))]
            if golds:
                items.append(Item(qa.text("question_id"), qa.text("question").strip(), golds))
        messages = [{"role": "user", "content": text} for text in sections if text.strip()]
        conversations.append(Conversation(key, messages, items, passages))
    return conversations


def score(item, answer):
    """(the answer cleaned up, scores). F1 is the best over the annotators' answers, as in the official evaluator."""
    said = first_line(answer)
    return said, {"f1": token_f1(said, item.golds, normalise)}


def _answers(qa):
    """Rows of the annotators' answers; each lies under "answer", on the hub in one list for all."""
    given = qa.get("answers", list, dict)
    if isinstance(given, dict):
        return Row(given, f"{qa.where}, answers").rows("answer")
    return [Row(one.get("answer", dict), f"{one.where}, answer") for one in qa.rows("answers")]


def _gold(answer):
    """The text of one annotator's answer by the official evaluator's rules; "" when nothing was annotated."""
    if answer.get("unanswerable", bool):
        return "Unanswerable"
    spans = answer.texts("extractive_spans") if answer.has("extractive_spans") else []
    if spans:
        return ", ".join(spans)
    if answer.has("free_form_answer") and answer.get("free_form_answer", str):
        return answer.value["free_form_answer"]
    if not answer.has("yes_no"):
        return ""
    return "Yes" if answer.get("yes_no", bool) else "No"
