"""What people would say, written by several writers, each in a voice of their own: one YAML file a writer.

writers/ is for training. A file has, for each of families.NAMES, statements (`told`) and questions (`asked`); under
`kinds` other kinds of facts; and what surrounds facts: `openers`, `question_frames`, `corrections`, `long`. exam/ is
for the test: statements and questions by writers who saw nothing of training's, without those that training has too.
"""

from functools import cache
from pathlib import Path

import yaml

ROOM = Path(__file__).parent


@cache
def _books(folder: str) -> dict[str, dict]:
    """What each writer of a folder wrote, by name."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast where libyaml is there
    files = sorted((ROOM / folder).glob("*.yaml"))
    return {file.stem: yaml.load(file.read_text(encoding="utf-8"), Loader=loader) for file in files}


def said(*keys: str, folder: str = "writers") -> tuple[str, ...]:
    """All writers' lines of one part: said("openers"), said("names", "told")."""
    found = list(_books(folder).values())
    for key in keys:
        found = [part[key] for part in found]
    return tuple(line for lines in found for line in lines)


def further_kinds() -> list[tuple[str, dict]]:
    """(a name of its own, the entry) of every further kind of fact."""
    books = _books("writers").items()
    return [(f"{writer} {i}", kind) for writer, book in books for i, kind in enumerate(book["kinds"])]
