"""What the memory costs the backbone: perplexity of held-out text, and answers that need no memory.

    python -m deltamem.train.ability --adapter msw tsw --text dev-v2.0.json.gz

Each with an empty state and after 2,000 tokens of unrelated talk, beside the base model. The text is read once from
left to right, writes on, as a chat would read it. Nothing of --text may be in the training data.
"""

import argparse
import json
import math
import random
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from tqdm import tqdm

from deltamem.compare.metrics import contains
from deltamem.core.binding import Binding, bind
from deltamem.core.errors import DeltaMemError

from .batches import Slot
from .recall import read_models, write_turns
from .replies import greedy_replies
from .smalltalk import LINES
from .sources import article_titles, read_passages
from .step import causal_attention, turn_plan
from .suites import REPLY

TALK_TOKENS = 2000
MOST = 256  # tokens of a passage that count
QUESTIONS = (
    ("What is the capital of Portugal?", "Lisbon"),
    ("What is the capital of Italy?", "Rome"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the capital of Germany?", "Berlin"),
    ("What is the capital of Spain?", "Madrid"),
    ("What is the capital of Egypt?", "Cairo"),
    ("What is the capital of England?", "London"),
    ("What is the capital of Russia?", "Moscow"),
    ("Which planet is known as the Red Planet?", "Mars"),
    ("What is the largest planet in the solar system?", "Jupiter"),
    ("What star is at the center of the solar system?", "Sun"),
    ("Which planet do we live on?", "Earth"),
    ("What is the largest ocean on Earth?", "Pacific"),
    ("On which continent is Kenya?", "Africa"),
    ("On which continent is Brazil?", "South America"),
    ("On which continent is China?", "Asia"),
    ("What do bees make?", "honey"),
    ("What gas do plants take in from the air?", "carbon dioxide"),
    ("What gas do people need to breathe?", "oxygen"),
    ("What is frozen water called?", "ice"),
    ("What is the chemical formula of water?", "H2O"),
    ("Which metal has the chemical symbol Au?", "gold"),
    ("Which metal has the chemical symbol Fe?", "iron"),
    ("What is the opposite of hot?", "cold"),
    ("What is the opposite of up?", "down"),
    ("What is the opposite of day?", "night"),
    ("What color is the sky on a clear day?", "blue"),
    ("What color is grass?", "green"),
    ("What color are ripe bananas?", "yellow"),
    ("How many days are in a week?", "seven"),
    ("How many legs does a spider have?", "eight"),
    ("How many months are in a year?", "12"),
    ("What comes after Monday?", "Tuesday"),
    ("In which month is Christmas?", "December"),
    ("Who wrote Romeo and Juliet?", "Shakespeare"),
    ("Who painted the Mona Lisa?", "Leonardo"),
    ("Who was the first president of the United States?", "Washington"),
    ("Which animal is called the king of the jungle?", "lion"),
    ("What is a young dog called?", "puppy"),
    ("What is a young cat called?", "kitten"),
)


def talk_state(model, adapter, tokens: int = TALK_TOKENS) -> dict:
    """The states after about so many tokens of talk, turn after turn; {} for none."""
    rng, turns, written = random.Random("talk"), [], 0
    while written < tokens:
        exchange = (" ".join(rng.sample(LINES, 6)), REPLY)
        turns.append((exchange,))
        written += sum(len(model.chat.message(*part)) for part in zip(("user", "assistant"), exchange, strict=True))
    return write_turns(model, adapter, [tuple(turns)]) if turns else {}


def _rows(states: dict, count: int) -> dict:
    return {name: state.repeat(count, 1, 1, 1) for name, state in states.items()}


@torch.no_grad()
def perplexity(model, adapter, texts: list[str], states: dict, batch: int = 16) -> float:
    """Of the first MOST tokens of every text, each read from `states` ([1, H, r, r] a layer; {}: empty)."""
    loss = count = 0
    for start in range(0, len(texts), batch):
        rows = [(model.chat.start + model.chat.text(text))[:MOST] for text in texts[start : start + batch]]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.backbone.device)
        ends = torch.tensor([len(row) for row in rows], device=ids.device)
        valid = torch.arange(width, device=ids.device) < ends[:, None]
        with causal_attention(model.backbone):
            if adapter is None:
                logits = model.backbone(input_ids=ids, use_cache=False).logits
            else:
                binding = Binding(adapter, _rows(states, len(rows)))
                slot = Slot(ids, valid, torch.stack((ends, ends), dim=1), None, None)
                binding.plan = turn_plan(slot, adapter.config.memory_write_granularity != "token")
                with bind(model.backbone, binding):
                    logits = model.backbone(input_ids=ids, use_cache=False).logits
        gold = ids[:, 1:].masked_fill(~valid[:, 1:], -100)
        loss += F.cross_entropy(logits[:, :-1].float().flatten(0, 1), gold.flatten(), reduction="sum").item()
        count += int((gold >= 0).sum())
    return math.exp(loss / count)


def knowledge(model, adapter, states: dict) -> float:
    """Share of QUESTIONS whose greedy reply contains the answer."""
    prompts = [model.chat.message("user", question) + model.chat.reply_header for question, _ in QUESTIONS]
    if adapter is None:
        said = greedy_replies(model.backbone, model.chat, [model.chat.start + prompt for prompt in prompts])
    else:
        said = greedy_replies(model.backbone, model.chat, prompts, Binding(adapter, _rows(states, len(prompts))))
    return sum(contains(answer, gold) for answer, (_, gold) in zip(said, QUESTIONS, strict=True)) / len(QUESTIONS)


def measure(model, adapters: dict, texts: list[str]) -> dict:
    """{column: {"perplexity", "answers"}}; columns: the base model, and each adapter in both states."""
    columns = [("base", None, 0)]
    for label, adapter in adapters.items():
        columns.append((f"{label}, empty state", adapter, 0))
        columns.append((f"{label}, after {TALK_TOKENS:,} tokens", adapter, TALK_TOKENS))
    found = {}
    for title, adapter, tokens in tqdm(columns, desc="measuring", leave=False):
        states = talk_state(model, adapter, tokens)
        found[title] = {
            "perplexity": perplexity(model, adapter, texts, states),
            "answers": knowledge(model, adapter, states),
        }
    return found


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deltamem.train.ability", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="preset, hub id or folder of the base model")
    parser.add_argument("--adapter", nargs="+", default=["msw", "tsw"], help="names, folders or hub ids")
    parser.add_argument("--text", type=Path, required=True, help="passages in the form of SQuAD or QASPER")
    parser.add_argument("--trained-on", type=Path, help="SQuAD file whose articles are left out of --text")
    parser.add_argument("--passages", type=int, default=128, help="passages that are read")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(argv)
    try:
        documents = read_passages(options.text, without=article_titles(options.trained_on))
        model, adapters = read_models(options.model, options.adapter, options.dtype)
        texts = list(dict.fromkeys(document.exchanges[0][0] for document in documents))
        found = measure(model, adapters, random.Random(0).sample(texts, min(options.passages, len(texts))))
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    base = found["base"]
    print("| | perplexity | against base | answers that need no memory, % |\n|---|---|---|---|")
    for column, row in found.items():
        change = 100 * (row["perplexity"] / base["perplexity"] - 1)
        print(f"| {column} | {row['perplexity']:.2f} | {change:+.1f}% | {100 * row['answers']:.1f} |")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
