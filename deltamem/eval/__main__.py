"""The command line: python -m deltamem.eval."""

import argparse
import os
import sys
from pathlib import Path

from deltamem.core.errors import DeltaMemError

from .conditions import CONDITIONS
from .tasks import TASKS

EXAMPLES = """examples:
  python -m deltamem.eval --task recall --condition base memory --limit 80
  python -m deltamem.eval --task locomo --data locomo10.json --adapter TSW MSW
  accelerate launch --num_processes 8 -m deltamem.eval --task locomo --data locomo10.json
  accelerate launch --multi_gpu --num_processes 2 -m deltamem.eval --device cpu  (accelerate's --cpu starts one process)
  python -m deltamem.eval --compare runs/eval/*.jsonl --out summary
The same command goes on where it was stopped or killed.
"""


def main(argv=None):
    """Exit code: 0, 1 after one sentence on what is wrong, 130 when stopped from the keyboard."""
    options = _parser().parse_args(argv)
    try:
        paths = options.compare
        if not paths:
            from .evaluation import Evaluation

            paths = Evaluation(options).run()
            if options.no_scores:
                return 0
        if int(os.environ.get("RANK", "0")) == 0:
            _summarise(paths, options)
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
    add = parser.add_argument
    add(
        "--task",
        nargs="+",
        choices=TASKS,
        default=["recall"],
        metavar="TASK",
        help=f"of {', '.join(TASKS)} (default: recall)",
    )
    add("--condition", nargs="+", choices=CONDITIONS, metavar="NAME", help=f"of {', '.join(CONDITIONS)} (default: all)")
    add("--model", default="demo", help="preset, hub id or folder of the base model")
    add("--adapter", nargs="+", metavar="NAME", help="labels (TSW, MSW, SSW), folders or hub ids (default: the first)")
    add("--lora", metavar="FOLDER", help="peft adapter for the condition lora-full")
    add("--data", nargs="+", default=[], metavar="PATH", help="file or folder, or TASK=PATH (default: from the hub)")
    add("--limit", type=int, metavar="N", help="only N questions of each task, drawn at random, each kind in its share")
    add("--conversations", type=int, metavar="N", help="only questions about N conversations (papers …), drawn too")
    add("--seed", type=int, default=0, help="of what is drawn: questions, recall's cases, answers (default: 0)")
    add("--batch", type=int, help="questions answered together at most (default: 256 on a GPU, 8 on a CPU)")
    add("--device", help="cuda, cuda:1, cpu")
    add("--dtype", help="float32, bfloat16, float16 (default: bfloat16 on a GPU)")
    add("--out", type=Path, default=Path("runs/eval"), help="folder of the results (default: runs/eval)")
    add("--no-scores", action="store_true", help="only answer, where a scorer's packages are missing; --compare scores")
    add(
        "--compare", nargs="+", metavar="FILE", help="only join these result files into one summary; scores what is not"
    )
    add(
        "--against",
        choices=CONDITIONS,
        metavar="NAME",
        help="condition that differences are taken from, one with a memory adapter by adapter (default: the first run)",
    )
    return parser


def _summarise(paths, options):
    from .plot import plot
    from .results import read_results
    from .summary import markdown

    results = read_results(paths)
    text = markdown(results, options.against)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.md").write_text(text, encoding="utf-8")
    plot(results).savefig(options.out / "summary.png", dpi=150)
    print(text)
    print(f"written: {options.out / 'summary.md'}, {options.out / 'summary.png'}")


if __name__ == "__main__":
    sys.exit(main())
