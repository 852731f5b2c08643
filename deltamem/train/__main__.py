"""Train an adapter: python -m deltamem.train --variant msw --out runs/msw

The backbone is frozen; conversations are made on the fly from a seed, see episodes.py. Ctrl-C keeps the last
checkpoint; the same command with --resume goes on from it.
"""

import argparse
import json
import random
import sys
from pathlib import Path

import torch

from deltamem.core import HFDeltaMemConfig, new_adapter, read_adapter, write_adapter
from deltamem.core.errors import DeltaMemError
from deltamem.runtime import load_model

from .batches import Batches
from .checkpoint import Settings
from .episodes import Episodes, ordinary_prompts
from .loop import Trainer
from .recall import SUITES, measure
from .replies import ordinary_pairs
from .smalltalk import SmallTalk
from .start import started_from
from .words import Values, vocabulary_words

STATES = {"tsw": 1, "msw": 4}


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deltamem.train", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="preset, hub id or folder of the backbone")
    parser.add_argument("--variant", choices=STATES, default="msw", help="one state a layer, or four in parallel")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log and adapter")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--learning-rate", type=float, default=Settings.learning_rate)
    parser.add_argument("--beta-bias", type=float, default=-4.0, help="write gate at the start, before the sigmoid")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--heads", default="qo", help="which projections are steered, letters of qkvo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--talk", type=Path, help="Synthetic-Persona-Chat CSV for the talk around the facts")
    parser.add_argument("--ordinary", type=int, default=1024, help="prompts whose ordinary answers are rehearsed")
    parser.add_argument("--start-from", type=Path, help="adapter folder to start from; TSW can start from MSW")
    parser.add_argument("--most-facts", type=int, default=8, help="facts told in one conversation at most")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--batch-share", type=float, default=1.0, help="share of the usual batch, for small machines")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--checkpoint-every", type=int, default=Settings.checkpoint_every)
    parser.add_argument("--cases", type=int, default=200, help="cases per suite of the recall test at the end; 0: none")
    return parser.parse_args(argv)


def make_adapter(options, backbone):
    """A fresh adapter of the chosen variant, or one that starts from a trained one, ready to be trained."""
    if options.start_from:
        return started_from(read_adapter(options.start_from, backbone), STATES[options.variant], backbone)
    torch.manual_seed(options.seed)
    config = HFDeltaMemConfig(
        rank=options.rank,
        alpha=2.0 * options.rank,
        beta_bias_init=options.beta_bias,
        num_state_heads=STATES[options.variant],
        output_init="base_slice",
        delta_heads=tuple(options.heads),
    )
    return new_adapter(backbone, config)


def train(options) -> None:
    model = load_model(options.model, adapter=None)
    adapter = make_adapter(options, model.backbone)
    talk = SmallTalk(options.talk)
    values = Values(vocabulary_words(model.tokenizer), "train")
    prompts = ordinary_prompts(random.Random(f"ordinary {options.seed}"), values, talk, options.ordinary)
    ordinary = ordinary_pairs(model.backbone, model.chat, prompts)
    settings = Settings(
        steps=options.steps,
        learning_rate=options.learning_rate,
        seed=options.seed,
        checkpoint_every=options.checkpoint_every,
    )
    batches = Batches(model.chat, Episodes(values, talk, ordinary, options.most_facts), settings.steps,
                      settings.seed, begin=1.0 if options.start_from else 0.0, share=options.batch_share)  # fmt: skip
    trainer = Trainer(model, adapter, batches, settings, options.out)
    if options.resume:
        trainer.resume()
    trainer.run(workers=options.workers)
    adapter.requires_grad_(False)
    write_adapter(adapter, options.out / "adapter")
    if options.cases:
        label = options.variant.upper()
        results = {
            name: measure(model, {label: adapter}, suite, options.cases, base=False) for name, suite in SUITES.items()
        }
        (options.out / "recall.json").write_text(json.dumps({"cases": options.cases, "suites": results}, indent=1))
        for name, columns in results.items():
            print(name, {column: result["exact"] for column, result in columns.items()})


def main(argv=None) -> int:
    options = parse(argv)
    try:
        train(options)
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; go on with --resume (last checkpoint in {options.out})", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
