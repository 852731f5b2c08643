"""What a training is made of: YAML files named on the command line, then the command line's own options."""

import argparse
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import get_args

import yaml

from .checkpoint import Settings, TrainingError

CONFIGS = Path(__file__).with_name("configs")
CHOICES = {"recipe": ("chat", "paper"), "method": ("delta", "lora"), "write": ("token", "message_mean")}


@dataclass(frozen=True)
class Options:
    """Every key of a configuration file; on the command line "beta_bias" is --beta-bias.

    model: preset, hub id or folder. recipe: "chat" (conversations) or "paper" (the published one-pass recipe, one epoch
    of --passages; see paper.py). method: "delta" or "lora" (a static LoRA of as many parameters). states, write (token,
    message_mean), heads (letters of qkvo), rank, layers (empty: all), beta_bias: the adapter. start_from: adapter
    folder to start from. talk, dialogues, passages: data files, see sources.py. ordinary: prompts whose ordinary
    answers are rehearsed. most_facts: told in one conversation. similar: share of further facts that are of an earlier
    one's family, which only their keys tell apart. begin: where in the curriculum to start, 0 to 1; by default 1, its
    last stage, with start_from. keep: weight of staying with the backbone's predictions in ordinary text, see step.py.
    batch_share: of the usual batch, for small machines. accumulate: parts in which a batch is taken.
    checkpoint_layers: keep only layer inputs (less memory, a third more time). cases: of the recall sample. minutes:
    the schedule ends then at the latest.
    """

    model: str = "demo"
    recipe: str = "chat"
    method: str = "delta"
    states: int = 4
    write: str = "token"
    heads: str = "qo"
    rank: int = 8
    layers: tuple[int, ...] = ()
    beta_bias: float = -4.0
    start_from: str | None = None
    steps: int = Settings.steps
    minutes: float | None = None
    learning_rate: float = Settings.learning_rate
    warmup: float = Settings.warmup
    clip: float = Settings.clip
    accumulate: int = 1
    seed: int = 0
    talk: str | None = None
    dialogues: str | None = None
    passages: str | None = None
    ordinary: int = 1024
    most_facts: int = 8
    similar: float = 0.3
    begin: float | None = None
    keep: float = 0.5
    batch_share: float = 1.0
    checkpoint_layers: bool = False
    workers: int = 0
    checkpoint_every: int = Settings.checkpoint_every
    sample_every: int = 0
    cases: int = 40

    @property
    def settings(self) -> Settings:
        """What the loop needs of it."""
        return Settings(**{field.name: getattr(self, field.name) for field in fields(Settings)})


def read_options(names: list[str], given: dict) -> Options:
    """Options of configuration files (paths, or names of the files in configs/), a later one over an earlier one, and
    of `given` over all. Raises TrainingError for a file or key that there is not, and for a value of another type."""
    values: dict = {}
    for name in names:
        path = Path(name) if Path(name).suffix in (".yaml", ".yml") else CONFIGS / f"{name}.yaml"
        try:
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml") if not p.stem.startswith("accelerate")))
            raise TrainingError(f"The configuration {path} cannot be read ({error}); there are: {known}.") from error
        if not isinstance(found, dict):
            raise TrainingError(f"The configuration {path} is a {type(found).__name__}; it must be keys and values.")
        values |= found
    values |= given
    types = {field.name: field.type for field in fields(Options)}
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
    parser.add_argument("--config", nargs="+", default=[], help="YAML files, or names of those in configs/")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log, record and adapter")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    defaults = asdict(Options())
    for field in fields(Options):
        flag, default = "--" + field.name.replace("_", "-"), defaults[field.name]
        wanted = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
        if field.name == "layers":
            parser.add_argument(flag, type=int, nargs="*", default=argparse.SUPPRESS, help="default: all")
        elif bool in wanted:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            kind = next(k for k in (int, float, str) if k in wanted)
            parser.add_argument(flag, type=kind, choices=CHOICES.get(field.name), default=argparse.SUPPRESS,
                                help=f"default: {default}")  # fmt: skip
    found = vars(parser.parse_args(argv))
    run = argparse.Namespace(**{name: found.pop(name) for name in ("config", "out", "resume")})
    return run, read_options(run.config, found)
