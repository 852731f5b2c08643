"""The synthetic suites of deltamem.train.recall: facts told in earlier turns, values never seen in training."""

import random

from deltamem.train import recall as suites
from deltamem.train.facts import Fact
from deltamem.train.smalltalk import LINES
from deltamem.train.words import Values, vocabulary_words

from ..items import Conversation, Item

CASES = 100  # of each suite


def make(tokenizer, seed, cases=CASES):
    """A conversation per case. The first case of every suite, then the second …

    The values are words of the model's vocabulary, so the data differ between tokenizers.
    """
    values = Values(vocabulary_words(tokenizer), "test")
    by_suite = []
    for name, suite in suites.SUITES.items():
        conversations = []
        rng = random.Random(seed)
        for number, (facts, asked) in enumerate(suites.make_cases(suite, values, cases, seed)):
            told = [fact.statement for fact in facts]
            told += [" ".join(rng.sample(LINES, 3)) for _ in range(suite.between)]
            messages = []
            for text in told:
                messages += [{"role": "user", "content": text}, {"role": "assistant", "content": suites.REPLY}]
            item = Item(f"{name}/{number}", asked.question, [asked.answer, asked.value], name)
            conversations.append(Conversation(item.id, messages, [item], told))
        by_suite.append(conversations)
    return [case for together in zip(*by_suite, strict=True) for case in together]  # so that a first part has all


def score(item, answer):
    """(the answer, scores): exact when it is the full sentence or the value alone."""
    answer_gold, value = item.golds
    exact, holds = suites.scores(answer, Fact("", value, "", item.question, answer_gold))
    return answer.strip(), {"exact": float(exact), "contains": float(holds)}
