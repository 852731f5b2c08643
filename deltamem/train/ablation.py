"""Where in a trained memory does recall live? Parts of it are switched off, and it is asked what it was told.

    python -m deltamem.train.ablation --adapter msw --cases 50

No training: every row is a changed copy of the adapter, under the conditions of `deltamem.train.recall`.
"""

import argparse
import copy
import json
import sys
from pathlib import Path

import torch

from deltamem.core import Adapter
from deltamem.core.errors import DeltaMemError

from .checkpoint import TrainingError
from .recall import RANK_ONE, UNSTEERED, all_cases, measure, read_models


def scaled(adapter: Adapter, factor: float, layers=None, heads=None, states=None) -> Adapter:
    """A copy of which some corrections are multiplied; reads and writes go on as ever.

    layers: places in the adapter's order; heads: of its config's delta_heads; states: numbers. None: all of them.
    """
    changed, config = copy.deepcopy(adapter), adapter.config
    with torch.no_grad():
        for place, layer in enumerate(changed.layers.values()):
            if layers is not None and place not in layers:
                continue
            for head in heads or config.delta_heads:
                by_state = getattr(layer, f"delta_{head}_proj").unflatten(1, (config.num_state_heads, -1))
                by_state[:, slice(None) if states is None else list(states)] *= factor
    return changed


def shifted(adapter: Adapter, shift: float) -> Adapter:
    """A copy whose gates' arguments are `shift` higher: it writes, and forgets, more."""
    changed = copy.deepcopy(adapter)
    with torch.no_grad():
        for layer in changed.layers.values():
            layer.beta_bias += shift
    return changed


def changes(adapter: Adapter):
    """(what is changed, the adapter for it) one after another, a copy where its weights are what is changed."""
    heads, states, layers = adapter.config.delta_heads, adapter.config.num_state_heads, len(adapter.layers)
    yield "as trained", adapter
    if layers >= 3:
        bounds = [layers * third // 3 for third in range(4)]
        for name, start, end in zip(("bottom", "middle", "top"), bounds[:-1], bounds[1:], strict=True):
            yield f"{name} layers ({start} to {end - 1}) off", scaled(adapter, 0.0, layers=range(start, end))
            others = set(range(layers)) - set(range(start, end))
            yield f"only the {name} layers", scaled(adapter, 0.0, layers=others)
    if len(heads) > 1:
        for head in heads:
            yield f"{head} corrections off", scaled(adapter, 0.0, heads=(head,))
    for count in range(1, states):
        yield f"{count} of {states} states off", scaled(adapter, 0.0, states=range(count))
    for strength in (0.5, 1.5):
        yield f"strength {strength}", scaled(adapter, strength)
    for shift in (-1.0, 1.0):
        yield f"β bias {shift:+g}", shifted(adapter, shift)
    yield UNSTEERED, adapter
    yield RANK_ONE, adapter


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deltamem.train.ablation", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="preset, hub id or folder of the base model")
    parser.add_argument("--adapter", default="msw", help="name, folder or hub id")
    parser.add_argument("--cases", type=int, default=50, help="per suite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50, help="cases answered side by side")
    parser.add_argument("--suites", nargs="+", default=["1 fact, single word", "2 facts, single words"], help="names")
    parser.add_argument("--changes", nargs="+", default=[""], help="only rows that contain one of these texts")
    parser.add_argument("--json", type=Path, help="also write results and example answers to this file")
    options = parser.parse_args(argv)
    try:
        model, adapters = read_models(options.model, [options.adapter], None)
        (adapter,) = adapters.values()
        known = dict(all_cases(model, options.cases, options.seed))
        unknown = [name for name in options.suites if name not in known]
        if unknown:
            raise TrainingError(f"There is no suite {unknown[0]!r}; there are: {'; '.join(known)}.")
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    suites = {name: known[name] for name in options.suites}
    print(f"| exact / contains, % | {' | '.join(suites)} |\n{'|---' * (len(suites) + 1)}|")
    record = {"cases": options.cases, "seed": options.seed, "changes": {}}
    for title, changed in changes(adapter):
        if not any(text in title for text in options.changes):
            continue
        column = f"{title}, {title if title in (UNSTEERED, RANK_ONE) else 'state only'}"
        found = {
            name: measure(model, {column: changed}, cases, options.batch)[column] for name, cases in suites.items()
        }
        cells = (f"{100 * result['exact']:.0f} / {100 * result['contains']:.0f}" for result in found.values())
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
        record["changes"][title] = found
        if options.json:
            options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
