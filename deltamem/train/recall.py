"""How much of what it was told does the model recall? State only, beside the base model without and with the history.

    python -m deltamem.train.recall --adapter msw tsw --cases 200

Values, statement wordings and question wordings are those held out of training (where a suite says so, only the values
are). Facts are told in separate turns, writes stay on throughout, the history is not in the prompt, decoding is greedy.
"""

import argparse
import json
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from deltamem.core.binding import Binding, bind
from deltamem.core.errors import DeltaMemError

from .facts import Fact, make_fact
from .replies import greedy_replies
from .smalltalk import LINES
from .words import Values, vocabulary_words

REPLY = "Alright, I have heard you."  # a reply that training does not contain


@dataclass(frozen=True)
class Suite:
    """facts: told in as many turns. kind: of the values. between: turns of small talk between telling and asking.

    wording: "test" for statements and questions held out of training, "train" for those it used.
    """

    facts: int
    kind: str | None
    between: int = 0
    wording: str = "test"


SUITES = {
    "1 fact, single word": Suite(1, "word"),
    "1 fact, single word, familiar wording": Suite(1, "word", wording="train"),
    "2 facts, single words": Suite(2, "word"),
    "2 facts, single words, familiar wording": Suite(2, "word", wording="train"),
    "4 facts, single words": Suite(4, "word"),
    "1 fact, any kind of value": Suite(1, None),
    "1 fact, invented name": Suite(1, "invented"),
    "1 fact, 4 turns of small talk": Suite(1, "word", 4),
}


def normalised(text: str) -> str:
    """Lower case, no punctuation, single spaces."""
    return " ".join(re.sub(r"[^\w\s:]", " ", text.lower()).split())


def scores(answer: str, fact: Fact) -> tuple[bool, bool]:
    """(exact, contains): the answer is the gold sentence or the value alone; the value's words stand in the answer."""
    said, value = normalised(answer), normalised(fact.value)
    return said in (normalised(fact.answer), value), f" {value} " in f" {said} "


def make_cases(suite: Suite, values: Values, count: int, seed: int) -> list[tuple[list[Fact], Fact]]:
    """(facts told, the one asked for) `count` times; the same for the same seed."""
    rng = random.Random(f"recall {seed} {suite}")
    cases = []
    for _ in range(count):
        facts: list[Fact] = []
        while len(facts) < suite.facts:
            fact = make_fact(rng, values, suite.wording, suite.kind, taken=[other.key for other in facts])
            if fact.value not in {other.value for other in facts}:
                facts.append(fact)
        cases.append((facts, rng.choice(facts)))
    return cases


@torch.no_grad()
def write_turns(model, adapter, turns: list[list[str]]) -> dict:
    """States after each row's user turns (same number of turns in every row), each answered by REPLY."""
    binding = Binding(adapter, {})
    chat, backbone = model.chat, model.backbone
    for column in zip(*turns, strict=True):
        encoded = [chat.message("user", text) + chat.message("assistant", REPLY) for text in column]
        width = max(map(len, encoded))
        ids = torch.zeros(len(encoded), width, dtype=torch.long)
        mask = torch.zeros(len(encoded), width, dtype=torch.long)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        with bind(backbone, binding):
            backbone.base_model(
                input_ids=ids.to(backbone.device), attention_mask=mask.to(backbone.device), use_cache=False
            )
    return binding.states


def ask(model, adapter, turns: list[list[str]], questions: list[str], condition: str) -> list[str]:
    """Greedy answers under a condition.

    condition: "state only", or of the base model "no history" or "full history" (all of it in the prompt).
    """
    chat = model.chat
    prompts = [chat.message("user", question) + chat.reply_header for question in questions]
    if condition == "state only":
        return greedy_replies(model.backbone, chat, prompts, Binding(adapter, write_turns(model, adapter, turns)))
    if condition == "full history":
        told = [sum((chat.message("user", t) + chat.message("assistant", REPLY) for t in row), []) for row in turns]
        prompts = [history + prompt for history, prompt in zip(told, prompts, strict=True)]
    return greedy_replies(model.backbone, chat, [chat.start + prompt for prompt in prompts])


def measure(
    model,
    adapters: dict,
    suite: Suite,
    count: int,
    seed: int = 0,
    batch: int = 50,
    base: bool = True,
    progress: bool = True,
) -> dict:
    """Results of one suite: {column: {"exact": share, "contains": share, "examples": [...]}}.

    Columns: "base, no history" and "base, full history" (unless `base` is False), then "LABEL, state only" for each
    adapter.
    """
    columns = {"base, no history": None, "base, full history": None} if base else {}
    columns |= {f"{label}, state only": adapter for label, adapter in adapters.items()}
    cases = make_cases(suite, Values(vocabulary_words(model.tokenizer), "test"), count, seed)
    rng = random.Random(seed)
    filler = [[" ".join(rng.sample(LINES, 3)) for _ in range(suite.between)] for _ in cases]
    results = {}
    for column, adapter in columns.items():
        tally, examples = [], []
        for start in tqdm(range(0, count, batch), desc=column, disable=not progress, leave=False):
            some = cases[start : start + batch]
            turns = [[f.statement for f in facts] + filler[start + i] for i, (facts, _) in enumerate(some)]
            questions = [fact.question for _, fact in some]
            answers = ask(model, adapter, turns, questions, column.partition(", ")[2])
            tally += [scores(answer, fact) for answer, (_, fact) in zip(answers, some, strict=True)]
            examples += [
                {"told": row, "asked": fact.question, "gold": fact.answer, "said": answer}
                for row, (_, fact), answer in zip(turns, some, answers, strict=True)
            ]
        exact, contains = (sum(column) / count for column in zip(*tally, strict=True))
        results[column] = {"exact": exact, "contains": contains, "examples": examples[:20]}
    return results


def main(argv=None) -> int:
    from deltamem.runtime import load_model

    parser = argparse.ArgumentParser(prog="python -m deltamem.train.recall", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="preset, hub id or folder of the base model")
    parser.add_argument("--adapter", nargs="+", default=["msw", "tsw"], help="names, folders or hub ids")
    parser.add_argument("--cases", type=int, default=200, help="per suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write results and example answers to this file")
    options = parser.parse_args(argv)
    try:
        model = load_model(options.model, adapter=options.adapter[0])
        adapters = {options.adapter[0].upper(): model.adapter}
        for place in options.adapter[1:]:
            adapters[place.upper()] = load_model(options.model, adapter=place).adapter
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    results = {}
    for name, suite in SUITES.items():
        results[name] = measure(model, adapters, suite, options.cases, options.seed)
        if len(results) == 1:
            print("| exact / contains, % | " + " | ".join(results[name]) + " |")
            print("|---" * (len(results[name]) + 1) + "|")
        cells = [f"{100 * r['exact']:.1f} / {100 * r['contains']:.1f}" for r in results[name].values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if options.json:
        record = {"cases": options.cases, "seed": options.seed, "suites": results}
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
