"""Models known by a short name. A new one is one more line in PRESETS."""

from dataclasses import dataclass, field
from pathlib import Path

INSTALLED = Path(__file__).resolve().parents[1] / "adapters"  # where pip puts what a checkout has in examples/adapters
BUNDLED = INSTALLED if INSTALLED.is_dir() else Path(__file__).resolve().parents[2] / "examples" / "adapters"


@dataclass(frozen=True)
class Preset:
    """title: shown to people; base: hub id pinned to a commit, or None for the demo model.

    adapters: label -> folder or hub id; the first one is the default.
    """

    title: str
    base: str | None
    adapters: dict[str, str | Path] = field(default_factory=dict)

    def available_adapters(self):
        """The adapters that can be asked for here: bundled ones only when their folder is present."""
        return {
            label: place
            for label, place in self.adapters.items()
            if isinstance(place, str) or (place / "delta_mem_config.json").is_file()
        }


PRESETS = {
    "demo": Preset(
        "SmolLM2-135M-Instruct",
        None,
        {label: BUNDLED / f"smollm2-135m-{label.lower()}" for label in ("MSW", "TSW", "SSW", "best")},
    ),
    "qwen3-4b": Preset(
        "Qwen3-4B-Instruct-2507",
        "Qwen/Qwen3-4B-Instruct-2507@cdbee75f17c01a7cc42f958dc650907174af0554",
        {"TSW": "declare-lab/delta-mem_qwen3_4b-instruct"},
    ),
}
