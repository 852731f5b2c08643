"""What an arm is, the named ones, and those made by hand."""

import re
from dataclasses import dataclass, fields

from deltamem.compare.controls import CONTROLS, check_control
from deltamem.compare.errors import ArmError
from deltamem.quoting import quoted
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


def spans(numbers, dash="–", between=", "):
    """ "0–9, 12" for the numbers 0 to 9 and 12."""
    runs = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return between.join(f"{first}{dash}{last}" if last > first else str(first) for first, last in runs)
