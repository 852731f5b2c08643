"""The command line: python -m deltamem.eval."""

import argparse
import hashlib
import importlib.metadata
import os
import sys
from pathlib import Path

from deltamem.core.errors import DeltaMemError

from .conditions import CONDITIONS
from .errors import EvalError

EXAMPLES = """examples:
  python -m deltamem.eval --task recall --condition base memory --limit 80
  python -m deltamem.eval --task locomo --data locomo10.json --adapter TSW MSW
  accelerate launch --num_processes 8 -m deltamem.eval --task locomo --data locomo10.json
  python -m deltamem.eval --compare runs/*.jsonl --out summary
"""


def main(argv=None):
    options = _parser().parse_args(argv)
    try:
        if options.compare:
            _summarise(options.compare, options)
        else:
            _evaluate(options)
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m deltamem.eval",
        description="Published benchmarks under several conditions, for the base model and its memory.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    from .tasks import TASKS

    add = parser.add_argument
    add("--task", nargs="+", choices=TASKS, default=["recall"], help="benchmarks (default: recall)")
    add("--condition", nargs="+", choices=CONDITIONS, metavar="NAME", help=f"of {', '.join(CONDITIONS)} (default: all)")
    add("--model", default="demo", help="preset, hub id or folder of the base model")
    add(
        "--adapter",
        nargs="+",
        metavar="NAME",
        help="labels (TSW, MSW), folders or hub ids (default: the first)",
    )
    add("--lora", metavar="FOLDER", help="peft adapter for the condition lora-full")
    add("--data", nargs="+", default=[], metavar="PATH", help="file or folder, or TASK=PATH (default: from the hub)")
    add("--limit", type=int, metavar="N", help="only the first N questions of each task")
    add("--seed", type=int, default=0)
    add("--batch", type=int, help="questions answered together at most (default: 64 on a GPU, 8 on a CPU)")
    add("--device", help="cuda, cuda:1, cpu")
    add("--dtype", help="float32, bfloat16, float16 (default: bfloat16 on a GPU)")
    add("--out", type=Path, default=Path("runs/eval"), help="folder of the results (default: runs/eval)")
    add("--compare", nargs="+", metavar="FILE", help="only join these result files into one summary")
    add("--against", choices=CONDITIONS, metavar="NAME", help="condition that differences are taken from")
    return parser


def _evaluate(options):
    from deltamem.runtime import load_model

    from .lora import check_lora
    from .protocol import read_protocol
    from .tasks import TASKS

    if options.limit is not None and options.limit < 1:
        raise EvalError(f"--limit is {options.limit}; give a number from 1, or leave it out for all questions.")
    chosen = options.condition or [key for key, c in CONDITIONS.items() if not c.lora or options.lora]
    if any(CONDITIONS[key].lora for key in chosen):
        if not options.lora:
            raise EvalError("The condition lora-full needs a peft adapter; give its folder with --lora.")
        check_lora(options.lora)
    for name in options.task:
        getattr(TASKS[name], "check_packages", lambda: None)()
    places = _places(options)
    rank, world, device = _process(options)
    model = load_model(
        options.model, adapter="auto" if not options.adapter else None, device=device, dtype=options.dtype
    )
    labels = _adapters(model, options) if any(CONDITIONS[key].memory for key in chosen) else []
    if any(CONDITIONS[key].memory for key in chosen) and not labels:
        raise EvalError(
            f"{model.name} has no adapter of its own; give one with --adapter, or a condition without memory."
        )
    finished = []
    for name in options.task:
        protocol = read_protocol(name)
        conversations = _conversations(name, protocol, places.get(name), model, options)
        for key in chosen:
            for label in labels if CONDITIONS[key].memory else [None]:
                finished.append(_run(options, model, name, protocol, conversations, key, label, rank, world))
    if rank == 0:
        _summarise(finished, options)


def _places(options):
    """{task: path} of --data."""
    places = {}
    for given in options.data:
        name, equals, path = given.partition("=")
        if equals and name in options.task:
            places[name] = path
        elif len(options.task) == 1:
            places[options.task[0]] = given
        else:
            raise EvalError(f"--data {given} does not say which task it is for; give TASK=PATH for several tasks.")
    return places


def _process(options):
    """(rank, number of processes, device) under accelerate launch, else of one process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, options.device
    from accelerate import PartialState

    state = PartialState(cpu=options.device == "cpu")
    return state.process_index, state.num_processes, str(state.device)


def _adapters(model, options):
    """Labels in model.adapters of what --adapter names; without it the model's default."""
    if not options.adapter:
        return [model.adapter_name] if model.adapter_name else []
    from deltamem.runtime.places import find_adapters

    labels = []
    for given in options.adapter:
        known, label = find_adapters(options.model, given)
        place = known[label] if label else given
        if label is None:  # a folder or hub id: its variant, told apart by its own name where two have the same
            from deltamem.core.config import HFDeltaMemConfig
            from deltamem.core.files import resolve_adapter

            place = resolve_adapter(given)
            label = HFDeltaMemConfig.load(place).variant
            label = f"{label}-{Path(given).name}" if label in model.adapters else label
        model.add_adapter(label, place)
        labels.append(label)
    return labels


def _conversations(name, protocol, path, model, options):
    from .data import hub_rows, local_rows
    from .items import first_items
    from .tasks import TASKS

    task = TASKS[name]
    if hasattr(task, "make"):
        found = task.make(model.tokenizer, options.seed)
    else:
        found = task.read(local_rows(path) if path else hub_rows(name, protocol.data))
    ids = [item.id for conversation in found for item in conversation.items]
    if not ids:
        raise EvalError(f"The data of {name} hold no questions; give the published file.")
    if len(set(ids)) < len(ids):
        twice = next(key for key in ids if ids.count(key) > 1)
        raise EvalError(f'The data of {name} hold two questions of the id "{twice}"; give one copy of each.')
    return first_items(found, options.limit)


def _run(options, model, name, protocol, conversations, key, label, rank, world):
    """One task under one condition. Returns the path of its result file (of all processes)."""
    from tqdm import tqdm

    from .lora import lora_on
    from .records import ResultFile, join_parts
    from .run import Runner
    from .tasks import TASKS

    condition = CONDITIONS[key]
    header = _header(options, model, name, protocol, conversations, key, label, world)
    file_name = f"{name}.{key}.{label}" if label else f"{name}.{key}"
    runner = Runner(model, TASKS[name], protocol, condition, label, options.seed, options.batch)
    file = ResultFile(options.out, file_name, header, rank, world)
    order, mine = 0, []
    for conversation in conversations:
        asked = [(order + i, item) for i, item in enumerate(conversation.items)]
        order += len(asked)
        mine.append((conversation, [pair for pair in asked if pair[0] % world == rank]))
    total = sum(len(asked) for _, asked in mine)
    before = sum(item.id in file.done for _, asked in mine for _, item in asked)
    bar = tqdm(desc=f"{name}, {condition.title}", total=total, initial=before, disable=rank > 0, unit="question")
    try:
        with lora_on(model, options.lora if condition.lora else None):
            for records in runner.records(mine, set(file.done)):
                file.add(records)
                bar.update(len(records))
    finally:
        bar.close()
        file.close()
    if world > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
    return join_parts(options.out, file_name) if rank == 0 else file.path


def _header(options, model, name, protocol, conversations, key, label, world):
    from deltamem.core.files import adapter_hash

    from .items import data_hash

    count = sum(len(conversation.items) for conversation in conversations)
    return {
        "task": name,
        "condition": key,
        "adapter": label,
        "adapter_hash": adapter_hash(model.adapters[label]) if label else None,
        "lora_hash": _folder_hash(options.lora) if CONDITIONS[key].lora else None,
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "protocol_hash": protocol.hash,
        "data_hash": data_hash(conversations),
        "questions": count,
        "asked": f"the first {count}" if options.limit else "all",
        "seed": options.seed,
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": _device_name(model.device),
        "attention": model.attention,
        "processes": world,
        "versions": {p: importlib.metadata.version(p) for p in ("torch", "transformers", "bm25s", "numpy")},
    }


def _device_name(device):
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _folder_hash(folder):
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("adapter_*")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _summarise(paths, options):
    from .plot import plot
    from .summary import markdown, read_results

    results = read_results(paths)
    text = markdown(results, options.against)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.md").write_text(text, encoding="utf-8")
    plot(results).savefig(options.out / "summary.png", dpi=150)
    print(text)
    print(f"written: {options.out / 'summary.md'}, {options.out / 'summary.png'}")


if __name__ == "__main__":
    sys.exit(main())
