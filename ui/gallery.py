"""The examples: transcripts that each show something else, with their probes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deltamem.compare.probes import Probe, read_probes
from deltamem.transcripts import Transcript, read_transcript

INDEX = "gallery.json"
SUFFIXES = (".json", ".md", ".txt")
PROBES = ".probes.csv"


@dataclass(frozen=True)
class Example:
    """A transcript's file, what it is called, one line on what it shows, and the file of its probes, if any."""

    path: Path
    title: str
    about: str = ""
    probes: Path | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    def read(self) -> tuple[Transcript, list[Probe]]:
        """The transcript with questions to ask, and its probes."""
        transcript = read_transcript(self.path)
        transcript.name = self.title
        probes = read_probes(self.probes) if self.probes else []
        transcript.questions = transcript.questions or [probe.question for probe in probes]
        return transcript, probes


def gallery(folder: Path) -> list[Example]:
    """The examples in a folder, in the order of its index (a JSON list of {"file", "title", "about"}), then by name."""
    index = folder / INDEX
    listed = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
    files = [folder / entry["file"] for entry in listed]
    others = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path not in [*files, index]]
    words = {folder / entry["file"]: entry for entry in listed}
    return [
        Example(path, _title(path, words.get(path, {})), words.get(path, {}).get("about", ""), _probes(path))
        for path in [*files, *others]
    ]


def _title(path: Path, entry: dict) -> str:
    if "title" in entry or path.suffix != ".json":
        return entry.get("title") or path.stem.replace("-", " ").capitalize()
    return str(json.loads(path.read_text(encoding="utf-8")).get("title", path.stem))


def _probes(path: Path) -> Path | None:
    beside = path.with_name(path.stem + PROBES)
    if beside.is_file():
        return beside
    return path if path.suffix == ".json" and '"answers"' in path.read_text(encoding="utf-8") else None
