"""The command: check, measure, print the table, write JSON and the plot."""

import argparse
import datetime
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from deltamem.tools.bench.checks import run_checks
from deltamem.tools.bench.measures import copy_rate
from deltamem.tools.bench.plan import Results, measure_all, speed_against_history
from deltamem.tools.bench.profile import step_profile
from deltamem.tools.bench.report import plot, table
from deltamem.tools.bench.subjects import GEOMETRIES, make_subject, token_ids


def main(arguments=None):
    """Returns the exit code: 1 when a check failed (the figures are printed all the same, marked)."""
    options = _options(arguments)
    begin = datetime.datetime.now(datetime.UTC)
    model = make_subject(options.model, options.device, options.dtype)
    machine = describe(model)
    print(f"{model.name} on {machine['device']}, {machine['dtype']}", flush=True)
    model.decoder.warm_up([None, model.adapters["TSW"]], lambda *stage: print(*stage, flush=True))
    ready = (datetime.datetime.now(datetime.UTC) - begin).total_seconds()
    print(f"ready after {ready:.1f} s (weights, trial, compiling, capture)", flush=True)
    checks = run_checks(model, token_ids(model, options.check_tokens), options.check_steps)
    for check in checks:
        print(f"{'ok  ' if check['ok'] else 'FAIL'} {check['check']}: {check['value']}", flush=True)
    if options.profile:
        parts = [step_profile(model, label, options.lengths[0]) for label in (None, "TSW")]
        Path(options.profile).write_text("\n\n".join("\n".join(part) for part in parts) + "\n", encoding="utf-8")
    rate = copy_rate(model.device)
    results = Results(options.minutes)
    measure_all(model, results, options.lengths, options.preload, options.steps)
    if options.plot:
        speed_against_history(model, results, options.histories, options.steps)
    lines = table(model, results, rate)
    print("\n".join(["", f"copy rate {rate / 1e12:.3f} TB/s", *lines]))
    for name in results.skipped:
        print(f"not measured: {name}")
    passed = all(check["ok"] for check in checks)
    if options.json:
        found = {
            "date": begin.date().isoformat(),
            "model": model.name,
            **machine,
            "command": "python -m deltamem.tools.bench " + " ".join(arguments or sys.argv[1:]),
            "ready_s": ready,
            "copy_bytes_s": rate,
            "checks": checks,
            "checks_passed": passed,
            "figures": results.rows,
            "not_measured": results.skipped,
            "table": lines,
        }
        Path(options.json).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if options.plot:
        plot(results, options.plot, f"{model.name}, {machine['device']}, {begin.date().isoformat()}")
    if not passed:
        print("A check failed: these figures are of something that is not right.")
    return 0 if passed else 1


def describe(model):
    """Card, dtype and versions."""
    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.processor() or "CPU"
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in ("transformers", "triton"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {"device": device, "dtype": str(model.dtype).removeprefix("torch."), "versions": versions}


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m deltamem.tools.bench", description=__doc__)
    parser.add_argument(
        "--model", default="qwen3-4b-geometry", help=f"one of {', '.join(GEOMETRIES)}, or a preset, folder or hub id"
    )
    parser.add_argument("--device")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--lengths", type=_numbers, default="4096,16384,32768", help="prompt lengths, tokens")
    parser.add_argument("--preload", type=_numbers, default="8192,65536,1048576", help="history lengths, tokens")
    parser.add_argument("--histories", type=_numbers, default="1024,65536,131072", help="more lengths for the plot")
    parser.add_argument("--steps", type=int, default=96, help="decoding steps of one figure")
    parser.add_argument("--check-tokens", type=int, default=600, help="prompt of the checks")
    parser.add_argument("--check-steps", type=int, default=48, help="tokens that the checks decode")
    parser.add_argument("--minutes", type=float, default=10, help="start nothing new after this long")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--plot", help="PNG file")
    parser.add_argument("--profile", help="text file for where a decoding step's time goes, base and TSW")
    return parser.parse_args(arguments)


def _numbers(text):
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    sys.exit(main())
