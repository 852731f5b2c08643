"""What people would say, by several writers (language models), each in a voice of its own: one YAML file a writer.

writers/ is for training. A file has, for each of families.NAMES, statements (`told`) and questions (`asked`); under
`kinds` other kinds of facts; and what surrounds facts: `openers`, `question_frames`, `corrections`, `long`. exam/ is
for the test: statements and questions by writers who saw nothing of training's, without those that training has too.
free_facts.yaml, for the test as well, has whole messages with a question and the value that answers it.
"""

from functools import cache
from pathlib import Path

import yaml

ROOM = Path(__file__).parent


def _read(file: Path):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast where libyaml is there
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)


@cache
def _books(folder: str) -> dict[str, dict]:
    """What each writer of a folder wrote, by name."""
    return {file.stem: _read(file) for file in sorted((ROOM / folder).glob("*.yaml"))}


@cache
def free_facts() -> list[dict[str, str]]:
    """Messages that tell a fact (`told`) with a question (`asked`) and what answers it (`value`)."""
    return _read(ROOM / "free_facts.yaml")


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
