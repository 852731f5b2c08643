"""What a training is made of: YAML files named on the command line, then the command line's own options."""

import argparse
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import get_args

import yaml

from .checkpoint import Settings, TrainingError

CONFIGS = Path(__file__).with_name("configs")
CHOICES = {"recipe": ("chat", "paper"), "method": ("delta", "lora"), "write": ("token", "message_mean")}


def option(default, about: str):
    """A key of the configuration files with what --help says of it."""
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class Options:
    """Every key of a configuration file; on the command line "beta_bias" is --beta-bias."""

    model: str = option("demo", "preset, hub id or folder of the backbone")
    recipe: str = option("chat", "chat: made-up conversations; paper: the published recipe, one epoch of --passages")
    method: str = option("delta", "delta, or lora: a static LoRA of as many parameters")
    states: int = option(4, "states a layer")
    write: str = option("token", "token: each token writes; message_mean: each message once")
    heads: str = option("qo", "projections that are steered, letters of qkvo")
    rank: int = option(8, "rows and columns of a state")
    layers: tuple[int, ...] = option((), "numbers of the layers with a memory")
    beta_bias: float = option(-4.0, "bias that the write gate begins with")
    start_from: str | None = option(None, "adapter folder to start from")
    steps: int = option(Settings.steps, "training steps")
    minutes: float | None = option(None, "the schedule ends then at the latest")
    learning_rate: float = option(Settings.learning_rate, "at its peak")
    warmup: float = option(Settings.warmup, "share of the schedule in which the learning rate rises")
    clip: float = option(Settings.clip, "largest norm of the gradient")
    accumulate: int = option(1, "parts in which a batch is taken: less memory")
    seed: int = option(0, "of the conversations and of a fresh adapter")
    talk: str | None = option(None, "Synthetic-Persona-Chat's CSV file, for more small talk")
    dialogues: str | None = option(None, "Schema-Guided Dialogue: its folder train or a file")
    passages: str | None = option(None, "QASPER's or SQuAD's JSON file")
    ordinary: int = option(1024, "prompts whose ordinary answers are rehearsed")
    most_facts: int = option(8, "facts told in one conversation at most")
    similar: float = option(0.3, "share of further facts like an earlier one, which only their keys tell apart")
    worn: float = option(0.0, "share of statements and questions with words lost or replaced: unseen wordings")
    begin: float | None = option(None, "where in the curriculum to start, 0 to 1; default: 0, and 1 with --start-from")
    keep: float = option(0.5, "weight of staying with the backbone's predictions in ordinary text")
    consistency: float = option(0.0, "weight of reading facts as they stood when told, whatever was written since")
    batch_share: float = option(1.0, "share of the usual batch, for small machines")
    checkpoint_layers: bool = option(False, "keep only layer inputs: less memory, a third more time")
    workers: int = option(0, "processes that prepare batches")
    checkpoint_every: int = option(Settings.checkpoint_every, "steps between checkpoints")
    report_every: int = option(25, "steps between lines of the log")
    sample_every: int = option(0, "steps between samples of recall; 0: none")
    cases: int = option(40, "cases of such a sample")

    @property
    def settings(self) -> Settings:
        """What the loop needs of it."""
        return Settings(**{key.name: getattr(self, key.name) for key in fields(Settings)})


def known() -> list[str]:
    """Names of the bundled configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("accelerate"))


def read_options(names: list[str], given: dict) -> Options:
    """Options of configuration files (paths, or names of the files in configs/), a later one over an earlier one, and
    of `given` over all. Raises TrainingError for a file or key that there is not, and for a value of another type."""
    values: dict = {}
    for name in names:
        path = Path(name) if Path(name).suffix in (".yaml", ".yml") else CONFIGS / f"{name}.yaml"
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            there = ", ".join(known())
            raise TrainingError(f"The configuration {path} cannot be read ({error}); there are: {there}.") from error
        if not isinstance(found, dict):
            raise TrainingError(f"The configuration {path} is a {type(found).__name__}; it must be keys and values.")
        values |= found
    values |= given
    types = {key.name: key.type for key in fields(Options)}
    unknown = [str(key) for key in values if key not in types]
    if unknown:
        raise TrainingError(f"Unknown training options: {', '.join(unknown)}; the known ones are {', '.join(types)}.")
    return Options(**{key: _typed(key, types[key], value) for key, value in values.items()})


def _typed(name: str, kind, value):
    wanted = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if name in CHOICES and value not in CHOICES[name]:
        raise TrainingError(f"The training option {name} is {value!r}; it must be {' or '.join(CHOICES[name])}.")
    if value is None and type(None) in wanted:
        return None
    if name == "layers" and isinstance(value, (list, tuple)) and all(type(index) is int for index in value):
        return tuple(value)
    if float in wanted and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if type(value) in wanted:
        return value
    raise TrainingError(f"The training option {name} is {value!r}; it must be {kind}.")


def parse(argv=None) -> tuple[argparse.Namespace, Options]:
    """The command line as (where and how to run, Options)."""
    parser = argparse.ArgumentParser(prog="python -m deltamem.train", description="Train an adapter.")
    parser.add_argument("--config", nargs="+", default=[], help=f"YAML files, or of {', '.join(known())}")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log, record and adapter")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    for key in fields(Options):
        flag, about = "--" + key.name.replace("_", "-"), key.metadata["about"]
        if key.default is not None and "default" not in about:
            about += f" (default: {'all' if key.default == () else key.default})"
        given = {"default": argparse.SUPPRESS, "help": about}
        wanted = get_args(key.type) if isinstance(key.type, UnionType) else (key.type,)
        if key.name == "layers":
            parser.add_argument(flag, type=int, nargs="*", metavar="N", **given)
        elif bool in wanted:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **given)
        else:
            kind = next(k for k in (int, float, str) if k in wanted)
            parser.add_argument(flag, type=kind, choices=CHOICES.get(key.name), **given)
    found = vars(parser.parse_args(argv))
    run = argparse.Namespace(**{name: found.pop(name) for name in ("config", "out", "resume")})
    return run, read_options(run.config, found)
