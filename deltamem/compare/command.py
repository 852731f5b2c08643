"""The options of `python -m deltamem.compare`, and what they ask for as values."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from deltamem.compare.arms import PRESETS, parse_arms, parse_layers, with_control
from deltamem.compare.controls import CONTROLS
from deltamem.compare.errors import ArmError, CommandError, ProbeError
from deltamem.compare.probes import plant, read_probes
from deltamem.runtime.prompt import check_text
from deltamem.runtime.sampling import Sampling
from deltamem.transcripts import TranscriptError, read_transcript

EPILOG = f"""\
arms: {", ".join(PRESETS)}; with changes after a colon, such as memory:adapter=TSW,strength=0.5
      base:recent=5   memory-rag:passages=8   memory:layers-off=0-9+12   memory:control=zero
controls: {", ".join(name for name in CONTROLS if name != "layers-off")}, layers-off=NUMBERS

exit codes: 0 done; 1 something is missing or wrong; 2 wrong options; 3 done, but an integrity check failed;
130 stopped with Ctrl-C (what was finished is in the report)
"""


def options(arguments=None):
    """The parsed options; exits with a sentence on wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m deltamem.compare",
        description="Give one model its history in several ways, ask it what it recalls, and write a report.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--history", metavar="FILE", help="a transcript: txt, md, json, jsonl or csv")
    add("--probes", metavar="FILE", help="questions with accepted answers: csv, tsv, json or jsonl")
    add("--plant", metavar="FACTS[,OTHERS[,TURNS]]", help="instead: a made-up history with as many facts to ask for,"
        " others beside them, and turns of small talk after them")  # fmt: skip
    add("--ask", metavar="QUESTION", action="append", default=[], help="ask every arm this, turn after turn")
    add("--arms", metavar="ARM", nargs="+", default=["base", "base-rag", "base-full", "memory"], help="see below")
    add("--controls", metavar="CONTROL", nargs="+", default=[], help="add each to every arm with memory")
    add("--other", metavar="FILE", help="the history whose state the control “other” takes")
    add("--report", metavar="FOLDER|ZIP", help="write everything there")
    add("--model", default="demo", help="preset (demo, qwen3-4b), hub id or folder")
    add("--adapter", nargs="+", default=["auto"], help="preset's labels, folders or hub ids; default: the preset's own")
    add("--device", help="cuda, cuda:1, cpu; default: CUDA when there is one")
    add("--dtype", choices=["float32", "bfloat16", "float16"], help="default: bfloat16 on CUDA, float32 on the CPU")
    add("--max-new-tokens", type=int, default=32, help="of an answer (default 32)")
    add("--temperature", type=float, default=0.0, help="0 (default): the likeliest token each time")
    add("--seed", type=int, default=0, help="of answers, shuffled rows and planted facts")
    found = parser.parse_args(arguments)
    if found.plant and (found.history or found.probes):
        parser.error("--plant makes its own history and probes: leave --history and --probes out")
    if not found.plant and not found.history:
        parser.error("there is no history: give --history FILE, or --plant 3")
    if not (found.plant or found.probes or found.ask or found.report):
        parser.error("there is nothing to do: give --probes FILE, --ask QUESTION or --report FOLDER")
    return found


@dataclass
class Request:
    """What is to be compared: messages and name of the history, of the other one, probes, questions and arms.

    sampling: how answers are drawn. notes: what should be known of how the files were read.
    """

    history: list
    name: str
    other: list | None
    other_name: str
    probes: list
    questions: list
    arms: list
    sampling: dict
    notes: list


def request(found):
    """The Request of the options. Raises DeltaMemError for what is wrong with them or with the files they name."""
    sampling = {name: getattr(found, name) for name in ("max_new_tokens", "temperature", "seed")}
    Sampling(**sampling)
    for question in found.ask:
        check_text(question, "A question")
    arms = parse_arms("\n".join(found.arms))
    controls = [part for text in found.controls for part in ([text] if "=" in text else text.split(","))]
    spoilt = [_controlled(arm, text) for text in controls for arm in arms if arm.memory and not arm.control]
    if found.controls and not spoilt:
        raise ArmError("Controls need an arm with memory; add memory, memory-rag or memory-full to --arms.")
    arms += spoilt
    other, other_name, notes = None, "", []
    if found.other:
        other, other_name = _messages(found.other, notes), Path(found.other).name
    if not other and any(arm.control == "other" for arm in arms):
        raise ArmError("The control “other” needs another history; give one with --other FILE.")
    if found.plant:
        messages, probes = plant(*_numbers(found.plant), seed=found.seed)
        name = f"planted facts ({found.plant}, seed {found.seed})"
    else:
        messages, probes = _messages(found.history, notes), _probes(found.probes) if found.probes else []
        name = Path(found.history).name
    return Request(messages, name, other, other_name, probes, found.ask, arms, sampling, notes)


def _messages(path, notes):
    """The messages of a transcript's file; adds to `notes` how it was read. Raises CommandError."""
    try:
        transcript = read_transcript(path)
    except TranscriptError as error:
        raise CommandError(f"{path}: {error}") from error
    notes.append(f"{path}: {transcript.format}, {len(transcript.messages):,} messages")
    notes += [f"{path}: {note}" for note in transcript.notes]
    return transcript.messages


def _probes(path):
    try:
        return read_probes(path)
    except ProbeError as error:
        raise CommandError(f"{path}: {error}") from error


def _controlled(arm, text):
    name, _, numbers = text.partition("=")
    if name != "layers-off":
        return with_control(arm, text)
    try:
        return with_control(arm, name, parse_layers(numbers))
    except ValueError as error:
        raise ArmError(f"The control {text!r} cannot be read; give numbers such as layers-off=0-9+12.") from error


def _numbers(text):
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ProbeError(f"--plant is {text!r}; give up to three whole numbers such as 3,3,2.") from error
    if len(numbers) > 3:
        raise ProbeError(f"--plant is {text!r}; give up to three whole numbers such as 3,3,2.")
    return numbers
