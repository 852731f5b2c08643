"""How much of what it was told does the model recall? State only, beside the base model without and with the history.

    python -m deltamem.train.recall --adapter msw tsw --cases 100

What was told is written turn after turn, writes stay on throughout, the history is not in the prompt, decoding is
greedy. --dialogues and --passages add real ones; --controls a zero state and the state of another dialogue; --lora a
static LoRA, which cannot know what it was told.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from deltamem.compare.metrics import contains, exact_match, token_f1
from deltamem.core.binding import Binding, bind
from deltamem.core.errors import DeltaMemError
from deltamem.eval.lora import lora_on
from deltamem.runtime import load_model
from deltamem.runtime.places import add_adapters

from .batches import Slot
from .checkpoint import TrainingError
from .layers import trained
from .replies import greedy_replies
from .sources import article_titles
from .step import causal_attention, turn_plan
from .suites import DATA_SUITES, FREE_SUITES, SUITES, Case, dialogue_cases, free_cases, make_cases, passage_cases
from .words import Values, vocabulary_pieces, vocabulary_words

BASE = ("base, no history", "base, full history")
CONTROLS = ("zero state", "another dialogue's state")
UNSTEERED = "no corrections while told"
RANK_ONE = "states cut to rank one"  # what a single write into an empty state can leave


def scores(answer: str, case: Case) -> tuple[float, float, float]:
    """(exact: the gold sentence or the value alone; contains the value; token F1 against the better of the two)."""
    golds = list(case.answers)
    return exact_match(answer, golds), contains(answer, case.value), token_f1(answer, golds)


def _slot(chat, exchanges: list[tuple | None], device) -> Slot:
    """Tensors of one turn of every row, padded on the right; None: the row has no such turn."""
    encoded = []
    for turn in exchanges:
        if turn is None:
            encoded.append(([], 0, 0))
            continue
        asked = [i for user, reply in turn[:-1] for i in chat.message("user", user) + chat.message("assistant", reply)]
        asked += chat.message("user", turn[-1][0])
        encoded.append(
            (asked + chat.message("assistant", turn[-1][1]), len(asked), len(asked) + len(chat.reply_header))
        )
    width = max(1, max(len(ids) for ids, _, _ in encoded))
    ids = torch.zeros(len(encoded), width, dtype=torch.long)
    valid = torch.zeros(len(encoded), width, dtype=torch.bool)
    for row, (tokens, _, _) in enumerate(encoded):
        ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        valid[row, : len(tokens)] = True
    spans = torch.tensor([(asked, first) for _, asked, first in encoded])
    return Slot(ids, valid, spans, None, None).to(device)


@torch.no_grad()
def write_turns(model, adapter, rows: list[tuple], strength: float = 1.0) -> dict:
    """States after each row's turns (tuples of exchanges; rows may have different numbers of turns).

    strength: of the corrections meanwhile.
    """
    by_message = adapter.config.memory_write_granularity != "token"
    if by_message:
        trained(adapter)  # takes a turn's two messages in one pass, as the chat does in two
    binding = Binding(adapter, strength=strength)
    for i in range(max(map(len, rows))):
        slot = _slot(model.chat, [row[i] if i < len(row) else None for row in rows], model.backbone.device)
        binding.plan = turn_plan(slot, by_message)
        with causal_attention(model.backbone), bind(model.backbone, binding):
            model.backbone.base_model(input_ids=slot.ids, use_cache=False)
    return binding.states


def ask(model, adapter, cases: list[Case], condition: str, shown: int) -> list[str]:
    """Greedy answers under a condition: "state only", UNSTEERED, RANK_ONE, one of CONTROLS or of BASE.

    shown: tokens of history that fit the prompt; of a longer one the last are kept.
    """
    chat = model.chat
    prompts = [chat.message("user", case.question) + chat.reply_header for case in cases]
    if condition in ("no history", "full history"):
        if condition == "full history":
            prompts = [_history(chat, case)[-shown:] + prompt for case, prompt in zip(cases, prompts, strict=True)]
        return greedy_replies(model.backbone, chat, [chat.start + prompt for prompt in prompts])
    states = {}
    if condition != "zero state":
        states = write_turns(model, adapter, [case.turns for case in cases], strength=float(condition != UNSTEERED))
    if condition == "another dialogue's state":
        states = {name: state.roll(1, dims=0) for name, state in states.items()}
    if condition == RANK_ONE:
        states = {name: _rank_one(state) for name, state in states.items()}
    return greedy_replies(model.backbone, chat, prompts, Binding(adapter, states))


def _rank_one(states: torch.Tensor) -> torch.Tensor:
    """The nearest matrices of rank one; states: [B, H, r, r]."""
    left, sizes, right = torch.linalg.svd(states)
    return left[..., :1] * sizes[..., None, :1] @ right[..., :1, :]


def _history(chat, case: Case) -> list[int]:
    exchanges = [exchange for turn in case.turns for exchange in turn]
    return [i for user, reply in exchanges for i in chat.message("user", user) + chat.message("assistant", reply)]


def measure(model, columns: dict, cases: list[Case], batch: int = 50, progress: bool = True, shown: int = 1900) -> dict:
    """Results of one suite: {column: {"exact", "contains", "f1": means, "examples": [...]}}.

    columns: column name, ending in ", CONDITION" as `ask` knows it -> adapter or None.
    """
    results = {}
    for column, adapter in columns.items():
        answers = []
        for start in tqdm(range(0, len(cases), batch), desc=column, disable=not progress, leave=False):
            answers += ask(model, adapter, cases[start : start + batch], column.partition(", ")[2], shown)
        tally = [scores(answer, case) for answer, case in zip(answers, cases, strict=True)]
        exact, containing, f1 = (sum(column) / len(cases) for column in zip(*tally, strict=True))
        examples = [
            {
                "told": [user for turn in case.turns for user, _ in turn],
                "asked": case.question,
                "gold": case.answers[0],
                "said": answer,
            }
            for case, answer in zip(cases[:20], answers, strict=False)
        ]
        results[column] = {"exact": exact, "contains": containing, "f1": f1, "examples": examples}
    return results


def sample(model, adapter, count: int) -> dict:
    """Exact recall of one and of two held-out facts, for the progress of a training."""
    training = model.backbone.training
    model.backbone.eval()
    values = Values(vocabulary_words(model.tokenizer), "test", vocabulary_pieces(model.tokenizer))
    found = {}
    for key, name in (("recall", "1 fact, single word"), ("recall_2", "2 facts, single words")):
        cases = make_cases(SUITES[name], values, count, 1, model.chat)
        found[key] = measure(model, {"now, state only": adapter}, cases, progress=False)["now, state only"]["exact"]
    model.backbone.train(training)
    return found


def all_cases(model, count: int, seed: int, dialogues: Path | None = None, passages: Path | None = None, seen=None):
    """(suite name, its cases) one after another; seen: a SQuAD file whose articles are left out of `passages`."""
    real = {}  # read first: a file may be missing
    if dialogues:
        real[DATA_SUITES[0]] = dialogue_cases(dialogues, count, seed)
    if passages:
        real[DATA_SUITES[1]] = passage_cases(passages, count, seed, article_titles(seen))
    values = Values(vocabulary_words(model.tokenizer), "test", vocabulary_pieces(model.tokenizer))
    for name, suite in SUITES.items():
        yield name, make_cases(suite, values, count, seed, model.chat)
    for name, facts in FREE_SUITES.items():
        yield name, free_cases(facts, count, seed)
    yield from real.items()


def columns_of(adapters: dict, base: bool, controls: bool) -> dict:
    """The columns of a table in order: base, then each adapter with its controls."""
    columns = dict.fromkeys(BASE) if base else {}
    for label, adapter in adapters.items():
        columns |= {f"{label}, {state}": adapter for state in ("state only", *(CONTROLS if controls else ()))}
    return columns


def row(name: str, results: dict) -> str:
    """A line of the printed table; token F1 for real data, exact and contained values for the rest."""
    if name in DATA_SUITES:
        cells = [f"F1 {100 * r['f1']:.1f}" for r in results.values()]
    else:
        cells = [f"{100 * r['exact']:.1f} / {100 * r['contains']:.1f}" for r in results.values()]
    return f"| {name} | {' | '.join(cells)} |"


def read_models(base: str, places: list[str], dtype: str | None):
    """(the model, {label: adapter on it}) for names, folders or hub ids of adapters."""
    model = load_model(base, adapter=None, dtype=dtype)
    labels = add_adapters(model, base, places) if places else []
    return model, {label: model.adapters[label] for label in labels}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deltamem.train.recall", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="preset, hub id or folder of the base model")
    parser.add_argument("--adapter", nargs="*", default=["msw", "tsw"], help="names, folders or hub ids")
    parser.add_argument("--lora", type=Path, help="peft folder written by --method lora: one more column")
    parser.add_argument("--cases", type=int, default=100, help="per suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50, help="cases answered side by side")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; default as everywhere: float32 on a CPU")
    parser.add_argument("--dialogues", type=Path, help="test split of Schema-Guided Dialogue: its folder or a file")
    parser.add_argument("--passages", type=Path, help="passages with questions in SQuAD's form, as XQuAD's")
    parser.add_argument("--trained-on", type=Path, help="SQuAD file whose articles are left out of --passages")
    parser.add_argument("--suites", nargs="+", help="only suites whose name contains one of these texts")
    parser.add_argument("--no-base", action="store_true", help="leave the base model's columns out")
    parser.add_argument("--controls", action="store_true", help="also with a zero state and another dialogue's state")
    parser.add_argument("--json", type=Path, help="also write results and example answers to this file")
    options = parser.parse_args(argv)
    record = {"cases": options.cases, "seed": options.seed, "suites": {}}
    try:
        model, adapters = read_models(options.model, options.adapter, options.dtype)
        columns = columns_of(adapters, not options.no_base, options.controls)
        began = time.perf_counter()
        real = options.dialogues, options.passages, options.trained_on
        for name, cases in all_cases(model, options.cases, options.seed, *real):
            if options.suites and not any(text in name for text in options.suites):
                continue
            results = measure(model, columns, cases, options.batch)
            if options.lora:
                with lora_on(model, options.lora):
                    results |= measure(model, {"LoRA, no history": None}, cases, options.batch)
            if not record["suites"]:
                print("| exact / contains, % | " + " | ".join(results) + " |")
                print("|---" * (len(results) + 1) + "|")
            record["suites"][name] = results
            print(row(name, results), flush=True)
            record["seconds"] = round(time.perf_counter() - began, 1)
            if options.json:
                text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
                options.json.write_text(text, encoding="utf-8")
        if not record["suites"]:
            names = "; ".join((*SUITES, *FREE_SUITES))
            raise TrainingError(f"No suite's name contains {' or '.join(options.suites)}; there are: {names}.")
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the rows above are whole", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
