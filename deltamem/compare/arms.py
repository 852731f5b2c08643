"""Arms: the columns of a comparison. Each is one way to give a model its history.

arm = PRESETS["memory"]                                    a preset
arm = make_arm(memory=True, context="rag", adapter="TSW")  made by hand, its title written from its settings
arm = parse_arm("memory:adapter=TSW,strength=0.5")         from a command line
session = start_session(model, arm, history)               made, told the history, put under the arm's control
"""

import functools
import re
from dataclasses import dataclass, fields

from deltamem.compare.controls import CONTROLS, apply, check_control
from deltamem.compare.errors import ArmError
from deltamem.quoting import quoted
from deltamem.runtime import Session
from deltamem.runtime.errors import SessionError
from deltamem.runtime.prompt import CONTEXTS
from deltamem.runtime.settings import MAX_PASSAGES, MAX_STRENGTH

MAX_RECENT = 100
MAX_TITLE = 80
_KINDS = {
    "key": str,
    "title": str,
    "memory": bool,
    "context": str,
    "adapter": str | None,
    "control": str | None,
}


@dataclass(frozen=True)
class Arm:
    """One column: memory on or off, and what of the history its prompt shows.

    key: names it in files and tables. title: names it to people. context: "none", "recent" (the last `recent_turns`
    exchanges), "rag" (the best `passages` passages) or "full". adapter: a label of the model's adapters (None: the
    default one). strength: factor on the memory's steer. control: a key of CONTROLS, applied after the history was
    written. layers_off: numbers of the layers that the control "layers-off" switches off.

    Raises ArmError, in one sentence, for settings that contradict each other.
    """

    key: str
    title: str
    memory: bool
    context: str
    recent_turns: int = 3
    adapter: str | None = None
    strength: float = 1.0
    control: str | None = None
    layers_off: tuple[int, ...] = ()
    passages: int = 4

    def __post_init__(self):
        object.__setattr__(self, "layers_off", tuple(self.layers_off))
        for name, kinds in _KINDS.items():
            if not isinstance(value := getattr(self, name), kinds):
                raise ArmError(f"An arm's {name} is {quoted(repr(value))}; a setting of that type is not known.")
        if not all(type(number) is int for number in self.layers_off):
            raise ArmError(f"An arm's layers are {quoted(repr(self.layers_off))}; give whole numbers.")
        if not re.fullmatch(r"[\w.+-]{1,100}", self.key):
            raise ArmError(f"The arm's key is {quoted(repr(self.key))}; use letters, digits, '-', '_', '.' and '+'.")
        if not self.title.strip() or len(self.title) > MAX_TITLE:
            raise ArmError(f"An arm's title has {len(self.title)} characters; give it from 1 to {MAX_TITLE}.")
        if self.context not in CONTEXTS:
            raise ArmError(
                f"{self.title}: the visible history is {quoted(repr(self.context))}; use one of {', '.join(CONTEXTS)}."
            )
        self._whole("recent_turns", "recent turns", MAX_RECENT)
        self._whole("passages", "passages", MAX_PASSAGES)
        number = isinstance(self.strength, (int, float)) and not isinstance(self.strength, bool)
        if not number or not 0 <= self.strength <= MAX_STRENGTH:
            raise ArmError(
                f"{self.title}: the strength is {quoted(repr(self.strength))}; use 0 to {MAX_STRENGTH} (1: as trained)."
            )
        if self.control is not None:
            check_control(self.control)
        self._check_together()

    def _whole(self, name, words, most):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ArmError(
                f"{self.title}: the number of {words} is {quoted(repr(value))}; use a whole number from 1 to {most}."
            )

    def _check_together(self):
        if not self.memory:
            given = {
                "an adapter": self.adapter is not None,
                "a strength": self.strength != 1,
                "a control": self.control is not None,
                "layers to switch off": bool(self.layers_off),
            }
            for words, present in given.items():
                if present:
                    raise ArmError(f"{self.title}: memory is off, so {words} means nothing; switch the memory on.")
        if self.control == "layers-off" and not self.layers_off:
            raise ArmError(
                f'{self.title}: the control "Layers off" needs the numbers of the layers; name at least one.'
            )
        if self.layers_off and self.control != "layers-off":
            raise ArmError(f'{self.title}: layers are named, but the control is not "layers-off"; choose that control.')

    @property
    def chips(self):
        """The settings as short labels, the usual ones left out."""
        chips = [f"memory {'on' if self.memory else 'off'}", f"sees {_SEEN[self.context].format(arm=self)}"]
        chips += [f"adapter {self.adapter}"] if self.adapter else []
        chips += [f"strength × {self.strength:g}"] if self.strength != 1 else []
        if self.control == "layers-off":
            return (*chips, f"control: layers {spans(self.layers_off)} off")
        return (*chips, f"control: {CONTROLS[self.control].title.lower()}") if self.control else tuple(chips)

    def settings(self):
        """Everything that decides what the arm does, as plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"layers_off": list(self.layers_off)}


_SEEN = {
    "none": "the question only",
    "recent": "the last {arm.recent_turns} turns",
    "rag": "{arm.passages} retrieved passages",
    "full": "everything",
}
_SHOWN = {"none": "", "recent": "last {} turns", "rag": "retrieval", "full": "full history"}

PRESETS = {
    arm.key: arm
    for arm in (
        Arm("base", "Base", False, "none"),
        Arm("base-rag", "Base + retrieval", False, "rag"),
        Arm("base-full", "Base + full history", False, "full"),
        Arm("memory", "δ-mem, state only", True, "none"),
        Arm("memory-rag", "δ-mem + retrieval", True, "rag"),
        Arm("memory-full", "δ-mem + full history", True, "full"),
    )
}


def make_arm(memory, context, **settings):
    """An Arm whose key and title are written from its settings, which are Arm's own. Raises ArmError."""
    draft = Arm("arm", "This arm", bool(memory), context, **settings)
    who = "δ-mem" if memory else "Base"
    who += f" {draft.adapter}" if draft.adapter else ""
    who += f" × {draft.strength:g}" if draft.strength != 1 else ""
    shown = _SHOWN[context].format(draft.recent_turns)
    title = f"{who} + {shown}" if shown else f"{who}, state only" if memory else who
    if context == "rag" and draft.passages != 4:
        title += f" ({draft.passages} passages)"
    if draft.control:
        title += f", {CONTROLS[draft.control].title.lower()}"
        title += f": {spans(draft.layers_off)}" if draft.layers_off else ""
    title = title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…"
    key = "memory" if memory else "base"
    key += {"none": "", "recent": f"-recent{draft.recent_turns}", "rag": "-rag", "full": "-full"}[context]
    key += f"{draft.passages}" if context == "rag" and draft.passages != 4 else ""
    key += f"-{draft.adapter}" if draft.adapter else ""
    key += f"-x{draft.strength:g}" if draft.strength != 1 else ""
    key += f"-{draft.control}" if draft.control else ""
    key += "-" + spans(draft.layers_off, "-", "+") if draft.layers_off else ""
    key = re.sub(r"[^\w.+-]", "_", key)[:100]
    return Arm(key, title, bool(memory), context, **settings)


def with_control(arm, control, layers_off=()):
    """The same arm under a control: what the one-click controls of a page and `--controls` make. Raises ArmError."""
    settings = arm.settings() | {"control": control, "layers_off": layers_off}
    for name in ("key", "title"):
        settings.pop(name)
    return make_arm(settings.pop("memory"), settings.pop("context"), **settings)


def parse_arm(text):
    """The arm that a command line names: a preset, or a preset with changes after a colon.

    "memory:adapter=TSW,strength=0.5", "base:recent=5", "memory-rag:passages=8", "memory:control=zero",
    "memory:layers-off=0-9+12". Raises ArmError.
    """
    name, colon, rest = text.strip().partition(":")
    preset = PRESETS.get(name.strip().lower())
    if preset is None:
        raise ArmError(f"There is no arm {name.strip()[:40]!r}; use one of {', '.join(PRESETS)}.")
    if not colon:
        return preset
    memory, context, settings = preset.memory, preset.context, {}
    for part in rest.split(","):
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or option not in _OPTIONS:
            raise ArmError(f"{text[:60]!r}: {part.strip()[:40]!r} is no setting of an arm; use {', '.join(_OPTIONS)}.")
        setting, kind = _OPTIONS[option]
        try:
            settings[setting] = kind(value)
        except ValueError:
            raise ArmError(
                f"{text[:60]!r}: {option} is {value[:40]!r}, which cannot be read; {_HINTS[option]}."
            ) from None
    if "recent_turns" in settings:
        if context != "none":
            raise ArmError(f"{text[:60]!r}: this arm sees {context} history already; use base or memory with recent.")
        context = "recent"
    if "passages" in settings and context != "rag":
        raise ArmError(f"{text[:60]!r}: passages are for retrieval; use base-rag or memory-rag.")
    if "layers_off" in settings:
        settings.setdefault("control", "layers-off")
    return make_arm(memory, context, **settings)


def parse_layers(text):
    """Layer numbers of "0-9+12" (also with commas or spaces between). Raises ValueError."""
    numbers = set()
    for part in re.split(r"[+,\s]+", text.strip()):
        found = re.fullmatch(r"(\d{1,4})(?:[-–](\d{1,4}))?", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"{part[:20]!r} is no layer number and no range of them")
        numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(sorted(numbers))


def spans(numbers, dash="–", between=", "):
    """ "0–9, 12" for the numbers 0 to 9 and 12."""
    runs = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return between.join(f"{first}{dash}{last}" if last > first else str(first) for first, last in runs)


_OPTIONS = {
    "adapter": ("adapter", str),
    "strength": ("strength", float),
    "recent": ("recent_turns", int),
    "passages": ("passages", int),
    "control": ("control", str),
    "layers-off": ("layers_off", parse_layers),
}
_HINTS = {
    "strength": "give a number such as 0.5",
    "recent": "give a whole number such as 5",
    "passages": "give a whole number such as 8",
    "layers-off": "give numbers and ranges such as 0-9+12",
}


def make_session(model, arm):
    """A session with the arm's settings, empty, not yet under its control. Raises ArmError when the model cannot."""
    labels = {label.lower(): label for label in model.adapters}
    adapter = labels.get(arm.adapter.lower(), arm.adapter) if arm.adapter else None
    try:
        session = Session(
            model,
            memory=arm.memory,
            context=arm.context,
            adapter=adapter,
            recent_turns=arm.recent_turns,
            passages=arm.passages,
            strength=arm.strength,
        )
        if arm.layers_off:
            session.branch().layers_off = arm.layers_off  # a layer there is not should be known before any writing
    except SessionError as error:
        raise ArmError(f"{arm.title}: {error}") from error
    return session


def start_session(model, arm, messages=(), other_messages=None, progress=None, seed=0):
    """The arm's session, told a history and put under the arm's control.

    other_messages: the history whose state the control "other" takes. progress(done_tokens, total_tokens): told while
    history is written. seed: of the control "shuffled". Raises ArmError, or SessionError when the history does not fit.
    """
    report = None if progress is None else lambda _, done, total: progress(done, total)
    return start_sessions(model, [arm], messages, other_messages, report, seed)[arm.key]


def start_sessions(model, arms, messages=(), other_messages=None, progress=None, seed=0):
    """{arm key: session} of several arms, as start_session makes each; arms with the same memory share its writing.

    progress(arm, done_tokens, total_tokens). Raises ArmError, before any work, for arms that are alike.
    """
    arms = list(arms)
    keys = [arm.key for arm in arms]
    if twice := next((arm for arm in arms if keys.count(arm.key) > 1), None):
        raise ArmError(f"The arm {twice.title!r} is there twice; leave one out.")
    for arm in arms:
        make_session(model, arm)
        _check_other(arm, other_messages)
    written, sessions = {}, {}
    for arm in arms:
        alike = (arm.memory, (arm.adapter or "").lower(), arm.strength, arm.context == "full")
        report = None if progress is None else functools.partial(progress, arm)
        if alike not in written:
            written[alike] = make_session(model, arm)
            if messages:
                written[alike].preload(messages, report)
        sessions[arm.key] = written[alike].branch(arm.context, arm.recent_turns, arm.passages)
        apply(sessions[arm.key], arm.control, other_messages, arm.layers_off, seed, report)
    return sessions


def _check_other(arm, other_messages):
    if arm.control == "other" and not other_messages:
        raise ArmError(f'{arm.title}: the control "Another transcript\'s state" needs another history; give one.')
