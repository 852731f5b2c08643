"""What the command line does, from options to exit code."""

import shlex
import signal
import sys
from contextlib import contextmanager

from tqdm import tqdm

from deltamem.compare import command
from deltamem.compare.arms import start_sessions
from deltamem.compare.ask import ask_together, count_turns
from deltamem.compare.integrity import check_model, check_turn
from deltamem.compare.probes import run_probes
from deltamem.core.errors import DeltaMemError
from deltamem.runtime import load_model

STOPPED = 130


def run(arguments=None):
    """Run a comparison; returns the exit code (see --help)."""
    options = command.options(arguments)
    given = shlex.join(["python", "-m", "deltamem.compare", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        return _compare(options, command.request(options), given)
    except DeltaMemError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _compare(options, wanted, given):
    if options.report:
        from deltamem.compare.report import check_target, write_report  # matplotlib is slow to import

        check_target(options.report)  # before any work
    for note in wanted.notes:
        print(note, file=sys.stderr)
    model = load_model(options.model, options.adapter[0], device=options.device, dtype=options.dtype)
    for place in options.adapter[1:]:
        model.add_adapter(None, place)
    refused = {}
    with _bar("writing", "token") as told:
        sessions = start_sessions(model, wanted.arms, wanted.history, wanted.other, told, options.seed, refused)
    titles = {arm.key: arm.title for arm in wanted.arms}
    for key, reason in refused.items():
        print(f"{titles[key]} sits out: {reason}", file=sys.stderr)
    labels = dict.fromkeys(session.adapter for session in sessions.values() if session.memory)
    findings = {label: check_model(model, label) for label in labels}
    with _stoppable() as stopped:
        results = _probe(sessions, titles, wanted, stopped) if wanted.probes else None
        if results and not options.report:  # which would hold the answers
            _print_answers(results)
        _ask(sessions, titles, wanted, stopped)
        if options.report:
            with _bar("figures", "figure") as drawn:
                write_report(
                    options.report, wanted.arms, sessions, wanted.history, wanted.name, wanted.other_name, results,
                    findings, options.seed, given, refused, progress=lambda done, total: drawn(None, done, total),
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


def _probe(sessions, titles, wanted, stopped):
    with _bar("probes", "probe") as asked:
        results = run_probes(
            sessions, wanted.probes, titles, lambda done, total: asked(None, done, total), stopped, **wanted.sampling
        )
    print(f"\n{results.asked} of {len(results.probes)} probes, share of answers that contain an accepted one:\n")
    print("| Column | contains, 95% interval | exact | token F1 |\n|---|---|---|---|")
    for row in results.summary() if results.asked else []:
        span = f"{row['contains']:.0%} [{row['contains_low']:.0%}, {row['contains_high']:.0%}]"
        print(f"| {row['arm']} | {span} | {row['exact']:.0%} | {row['f1']:.2f} |")
    return results


def _print_answers(results):
    for number, question, accepted, *answers in results.table()[1]:
        print(f"\n{number}. {question} ({accepted})")
        for title, answer in zip(results.titles.values(), answers, strict=True):
            print(f"  {title}: {' '.join(answer.split())}")


def _ask(sessions, titles, wanted, stopped):
    """Every question of every arm, as turns of their own sessions; what was said until a stop is printed too."""

    def check():
        if stopped():
            raise KeyboardInterrupt

    for question in wanted.questions:
        before = count_turns(sessions)
        try:
            check()
            said = ask_together(sessions, question, check, **wanted.sampling)
            told = {key: one.error or one.text for key, one in said.items()}
        except KeyboardInterrupt:
            after = count_turns(sessions)
            told = {key: sessions[key].messages[-1]["content"] for key in sessions if after[key] > before[key]}
        if told:
            print(f"\n{question}")
        for key, text in told.items():
            print(f"  {titles[key]}: {' '.join(text.split())}")


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
