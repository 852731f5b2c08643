"""MemoryAgentBench (Hu et al., 2025): many questions about one very long text, in four splits."""

from deltamem.compare.retrieval import split_text

from ..errors import EvalError
from ..items import Conversation, Item, Row
from ..scores import holds_alias

# First part of a source's name -> split. Rows do not name their split, so that any file or folder of them can be read.
SPLITS = {
    "ruler": "Accurate_Retrieval",
    "longmemeval": "Accurate_Retrieval",
    "eventqa": "Accurate_Retrieval",
    "icl": "Test_Time_Learning",
    "recsys": "Test_Time_Learning",
    "infbench": "Long_Range_Understanding",
    "detective": "Long_Range_Understanding",
    "factconsolidation": "Conflict_Resolution",
}
MESSAGE_CHARACTERS = 4000  # of the text that is written into a memory at a time


def read(rows):
    """A conversation per text: {context, questions, answers, metadata: {source, ...}}."""
    conversations = []
    for number, (where, value) in enumerate(rows):
        row = Row(value, where)
        source = Row(row.get("metadata", dict), f"{where}, metadata").text("source")
        split = SPLITS.get(source.split("_")[0].lower())
        if split is None:
            raise EvalError(f'{where} has the source "{source}"; known are names that begin with {", ".join(SPLITS)}.')
        questions, answers = row.texts("questions"), row.get("answers", list)
        if not all(question.strip() for question in questions):
            raise EvalError(f"{where} has an empty question; give the published file.")
        if len(questions) != len(answers):
            raise EvalError(
                f"{where} has {len(questions)} questions and {len(answers)} answers; give the published file."
            )
        items = []
        for index, (question, golds) in enumerate(zip(questions, answers, strict=True)):
            golds = [golds] if isinstance(golds, str) else golds
            if not isinstance(golds, list) or not golds or not all(isinstance(gold, str) for gold in golds):
                raise EvalError(f"{where}, answers {index} is no list of texts; give the published file.")
            items.append(Item(f"{number}/{index}", question, golds, split, {"source": source}))
        context = row.text("context")
        messages = [{"role": "user", "content": part} for part in split_text(context, MESSAGE_CHARACTERS)]
        conversations.append(Conversation(str(number), messages, items, split_text(context)))
    return conversations


def score(item, answer):
    """(the answer without white space around it, scores)"""
    return answer.strip(), {"accuracy": holds_alias(answer, item.golds)}
