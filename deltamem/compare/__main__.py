"""Compare ways to give a model its history, from the command line: python -m deltamem.compare --help."""

import shlex
import signal
import sys
from contextlib import closing, contextmanager

from deltamem.runtime.threads import give_way

give_way()  # before PyTorch is imported

from tqdm import tqdm  # noqa: E402

from deltamem.compare import command  # noqa: E402
from deltamem.compare.arms import start_sessions  # noqa: E402
from deltamem.compare.integrity import check_model, check_turn  # noqa: E402
from deltamem.compare.probes import run_probes  # noqa: E402
from deltamem.core.errors import DeltaMemError  # noqa: E402
from deltamem.runtime import load_model  # noqa: E402
from deltamem.runtime.together import reply_together  # noqa: E402
from deltamem.transcripts import TranscriptError  # noqa: E402

STOPPED = 130


def main(arguments=None):
    """Run a comparison; returns the exit code (see --help)."""
    options = command.options(arguments)
    given = shlex.join(["python", "-m", "deltamem.compare", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        return _compare(options, command.request(options), given)
    except (DeltaMemError, TranscriptError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped before anything was finished.", file=sys.stderr)
        return STOPPED


def _compare(options, wanted, given):
    if options.report:
        from deltamem.compare.report import check_target, write_report  # matplotlib is slow to import

        check_target(options.report)  # before any work
    model = load_model(options.model, options.adapter[0], device=options.device, dtype=options.dtype)
    for place in options.adapter[1:]:
        model.add_adapter(None, place)
    sampling = {name: getattr(options, name) for name in ("max_new_tokens", "temperature", "seed")}
    with _bar("writing", "token") as told:
        sessions = start_sessions(model, wanted.arms, wanted.history, wanted.other, told, options.seed)
    labels = dict.fromkeys(sessions[arm.key].adapter for arm in wanted.arms if arm.memory)
    findings = {label: check_model(model, label) for label in labels}
    with _stoppable() as stopped:
        results = _probe(sessions, wanted, sampling, stopped) if wanted.probes else None
        _ask(sessions, wanted.arms, options.ask, sampling, stopped)
        if options.report:
            with _bar("figures", "figure") as drawn:
                write_report(
                    options.report, wanted.arms, sessions, wanted.history, wanted.name, wanted.other_name, results,
                    findings, options.seed, given, progress=lambda done, total: drawn(None, done, total),
                )  # fmt: skip
            print(f"\nReport: {options.report}")
    if stopped():
        print("Stopped: what was finished is above.", file=sys.stderr)
        return STOPPED
    wrong = [line for found in findings.values() for line in found.wrong]
    wrong += [line for session in sessions.values() for line in check_turn(session).wrong]
    for line in wrong:
        print(f"integrity: {line.label}: {line.value}", file=sys.stderr)
    return 3 if wrong else 0


def _probe(sessions, wanted, sampling, stopped):
    with _bar("probes", "probe") as asked:
        titles = {arm.key: arm.title for arm in wanted.arms}
        results = run_probes(
            sessions, wanted.probes, titles, lambda done, total: asked(None, done, total), stopped, **sampling
        )
    print(f"\n{results.asked} of {len(results.probes)} probes, share of answers that contain an accepted one:\n")
    print("| Column | contains, 95% interval | exact | token F1 |\n|---|---|---|---|")
    for row in results.summary() if results.asked else []:
        span = f"{row['contains']:.0%} [{row['contains_low']:.0%}, {row['contains_high']:.0%}]"
        print(f"| {row['arm']} | {span} | {row['exact']:.0%} | {row['f1']:.2f} |")
    return results


def _ask(sessions, arms, questions, sampling, stopped):
    """Every question of every arm, as turns of their own sessions."""
    for question in questions:
        if stopped():
            return
        texts = [""] * len(arms)
        with closing(reply_together([sessions[arm.key] for arm in arms], question, **sampling)) as events:
            for index, event in events:
                texts[index] += event.text
                if stopped():
                    break
        print(f"\n{question}")
        for arm, text in zip(arms, texts, strict=True):
            print(f"  {arm.title}: {' '.join(text.split())}")


@contextmanager
def _bar(what, unit):
    """A progress bar on stderr, as a function of (arm or None, done, total)."""
    with tqdm(desc=what, unit=unit, leave=False, disable=None) as bar:

        def tell(arm, done, total):
            bar.total, bar.n = total, done
            if arm is not None:
                bar.set_postfix_str(arm.title, refresh=False)
            bar.refresh()

        yield tell


@contextmanager
def _stoppable():
    """A function that tells whether Ctrl-C was pressed; pressed twice, it interrupts as usual."""
    pressed = []

    def press(*_):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)
        print("\nStopping; once more to leave at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
