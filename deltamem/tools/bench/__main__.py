"""The command: check, measure, print the table, write JSON; or show what an earlier run wrote."""

import argparse
import datetime
import gc
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from deltamem.core.errors import DeltaMemError
from deltamem.tools.bench.checks import run_checks
from deltamem.tools.bench.measures import copy_rate, step_bytes
from deltamem.tools.bench.plan import Results, measure_all
from deltamem.tools.bench.profile import step_profiles
from deltamem.tools.bench.report import heading, table
from deltamem.tools.bench.subjects import GEOMETRIES, make_subject, token_ids

FLOAT32_SECONDS = 20  # for the checks in float32, at the end
FEW_LAYERS = 4  # of a geometry in float32


def main(arguments=None):
    """Returns the exit code: 1 when something is missing or a check failed (the figures are printed, marked)."""
    options = _options(arguments)
    try:
        if options.start:
            return _start_only(options)
        if options.show:
            found = _earlier(options.show)
        else:
            found = _run(options, " ".join(arguments if arguments is not None else sys.argv[1:]))
    except (DeltaMemError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was measured is in the file of --json, if one was named", file=sys.stderr)
        return 130
    print("\n".join(_lines(found)))
    if options.plot:
        from deltamem.tools.bench.plot import plot

        plot(found, options.plot)
    failed = [check for check in found["checks"] if not check["ok"]]
    for check in failed:
        print(f"This check failed, so these figures are of something that is not right: {check}")
    return 1 if failed else 0


def _lines(found):
    """What is shown of a run, apart from checks that failed."""
    return ["", heading(found), "", *table(found), *(f"not measured: {name}" for name in found["not_measured"])]


def _earlier(path):
    """What an earlier run wrote. Raises DeltaMemError for a file of another kind, OSError."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        _lines(found)  # raises for anything else
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DeltaMemError(f"{path} holds no run of this benchmark; give a file that --json wrote") from error
    return found


def _start_only(options):
    found = {"start_s": {}}
    _start(options, found)
    _keep(options, found)
    return 0


def _run(options, command):
    """Check and measure; what the file holds."""
    results = Results(60 * options.minutes, lambda: _keep(options, found))
    found = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": f"python -m deltamem.tools.bench {command}".strip(),
        "start_s": {},
        "checks": [],
        "agreement": {},
        "figures": results.rows,
        "not_measured": results.skipped,
    }
    model = _start(options, found)
    _check(model, options, found)
    gc.collect()  # the model in float32 goes
    found["copy_bytes_s"] = copy_rate(model.device)
    found["weight_bytes"], found["kv_bytes"] = step_bytes(model)
    if model.device.type == "cuda":  # nothing is compiled on a CPU
        model.decoder.release()
        found["second_start_s"] = second_start(options)
    _keep(options, found)
    lower = model.source in GEOMETRIES and model.dtype != torch.float32
    reserve = (FLOAT32_SECONDS if lower else 0) + 5
    histories = options.preload, options.histories
    measure_all(model, results, options.lengths, *histories, options.steps, options.rounds, reserve)
    if options.profile:
        lines = step_profiles(model, (None, "TSW"), options.lengths[0])
        Path(options.profile).write_text("\n".join(lines), encoding="utf-8")
    if lower and results.left > FLOAT32_SECONDS:
        model.decoder.release()
        exact = make_subject(model.source, options.device, "float32", FEW_LAYERS)
        _check(exact, options, found, f"{FEW_LAYERS} layers in float32, ")
        _keep(options, found)
    return found


def _start(options, found):
    """The model, ready to decode; what took how long goes to found["start_s"]."""
    begin = time.perf_counter()

    def passed(name):
        nonlocal begin
        begin, seconds = time.perf_counter(), time.perf_counter() - begin
        found["start_s"][name] = seconds
        print(f"{name}: {seconds:.1f} s", flush=True)

    model = make_subject(options.model, options.device, options.dtype)
    found |= {"model": model.name} | describe(model)
    print(f"{model.name} on {found['device']}, {found['dtype']}", flush=True)
    passed("weights")
    model.decoder.works()
    passed("trial and compiling")
    model.decoder.warm_up([None, model.adapters["TSW"]], lambda *_: None)
    passed("capture")
    return model


def second_start(options):
    """What `_start` finds in a new process, after this one's start left its compiled kernels on disk."""
    command = [sys.executable, "-m", "deltamem.tools.bench", "--start", "--model", options.model]
    command += [
        part for name in ("device", "dtype") if (value := getattr(options, name)) for part in (f"--{name}", value)
    ]
    print("in a second process:", flush=True)
    with TemporaryDirectory() as folder:
        file = Path(folder, "start.json")
        if subprocess.run([*command, "--json", str(file)]).returncode:
            return {}  # it has told why
        return json.loads(file.read_text(encoding="utf-8"))["start_s"]


def _check(model, options, found, prefix=""):
    checks, agreement = run_checks(model, token_ids(model, options.check_tokens), options.check_steps)
    found["checks"] += [check | {"check": prefix + check["check"]} for check in checks]
    found["agreement"] |= {prefix + answer: share for answer, share in agreement.items()}
    for check in checks:
        print(f"{'ok  ' if check['ok'] else 'FAIL'} {prefix}{check['check']}: {check['value']}", flush=True)
    for answer, share in agreement.items():
        print(f"     {prefix}{answer}, greedy tokens that agree: {share:.3f}", flush=True)


def _keep(options, found):
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
    parser.add_argument("--lengths", type=_numbers, default="4096,32768", help="prompt lengths, tokens")
    parser.add_argument("--preload", type=_numbers, default="8192,1048576", help="history lengths, tokens")
    parser.add_argument("--histories", type=_numbers, default="1024,16384,65536", help="more prompts, for the plot")
    parser.add_argument("--steps", type=int, default=32, help="decoding steps of one round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of one figure, which is their median")
    parser.add_argument("--check-tokens", type=int, default=600, help="prompt of the checks")
    parser.add_argument("--check-steps", type=int, default=16, help="tokens that the checks decode")
    parser.add_argument("--minutes", type=float, default=10, help="begin nothing new after this long")
    parser.add_argument("--start", action="store_true", help="measure nothing but the seconds before the first answer")
    parser.add_argument("--json", help="file for the figures, written after every part")
    parser.add_argument("--plot", help="PNG file")
    parser.add_argument("--profile", help="text file for where a decoding step's time goes, base and TSW")
    parser.add_argument("--show", metavar="JSON", help="measure nothing: the table (and plot) of an earlier run")
    options = parser.parse_args(arguments)
    if not (options.show or options.device or torch.cuda.is_available()):
        parser.error("no CUDA card was found: to measure on the CPU say --device cpu, best with --model tiny")
    return options


def _numbers(text):
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    sys.exit(main())
