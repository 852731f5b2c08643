"""The synthetic suites of deltamem.train.suites: facts told in earlier turns, values never seen in training."""

from deltamem.runtime.chat import ChatFormat
from deltamem.train import recall as train_recall
from deltamem.train.suites import SUITES, Case, make_cases
from deltamem.train.words import Values, vocabulary_pieces, vocabulary_words

from ..items import Conversation, Item

CASES = 100  # of each suite


def make(tokenizer, seed, cases=CASES):
    """A conversation per case. The first case of every suite, then the second …

    The values are words of the model's vocabulary, so the data differ between tokenizers.
    """
    values = Values(vocabulary_words(tokenizer), "test", vocabulary_pieces(tokenizer))
    chat = ChatFormat(tokenizer)
    by_suite = []
    for name, suite in SUITES.items():
        conversations = []
        for number, case in enumerate(make_cases(suite, values, cases, seed, chat)):
            exchanges = [exchange for turn in case.turns for exchange in turn]
            messages = [
                {"role": role, "content": text}
                for exchange in exchanges
                for role, text in zip(("user", "assistant"), exchange, strict=True)
            ]
            item = Item(f"{name}/{number}", case.question, [*case.answers], name)
            conversations.append(Conversation(item.id, messages, [item], [user for user, _ in exchanges]))
        by_suite.append(conversations)
    return [case for together in zip(*by_suite, strict=True) for case in together]  # so that a first part has all


def score(item, answer):
    """(the answer, scores): exact when it is the full sentence or the value alone."""
    exact, holds, _ = train_recall.scores(answer, Case((), item.question, tuple(item.golds), item.golds[-1]))
    return answer.strip(), {"exact": exact, "contains": holds}
