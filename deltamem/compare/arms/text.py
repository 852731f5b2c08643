"""Arms as people type them: on a command line, and in a call from a script."""

import re

from deltamem.compare.arms.arm import PRESETS, make_arm
from deltamem.compare.errors import ArmError


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
        if setting in settings:
            raise ArmError(f"{text[:60]!r}: {option} is given twice; give it once.")
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


def parse_arms(text):
    """The Arms of "base, memory:adapter=TSW,strength=0.5; memory-rag". Raises ArmError.

    A comma parts two arms unless what follows it is a setting of the arm before it.
    """
    names = []
    for part in str(text).replace(";", "\n").replace(",", "\n,").splitlines():
        piece = part.strip().removeprefix(",").strip()
        if part.strip().startswith(",") and "=" in piece.partition(":")[0] and names:
            names[-1] += f",{piece}"
        elif piece:
            names.append(piece)
    if not names:
        raise ArmError("There are no arms; name at least one, such as base or memory.")
    return [parse_arm(name) for name in names]


def parse_layers(text):
    """Layer numbers of "0-9+12" (also with commas or spaces between). Raises ValueError."""
    numbers = set()
    for part in re.split(r"[+,\s]+", text.strip()):
        found = re.fullmatch(r"(\d{1,4})(?:[-–](\d{1,4}))?", part)
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise ValueError(f"{part[:20]!r} is no layer number and no range of them")
        numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(sorted(numbers))


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
