"""What a map of states shows: a memory at one moment, or the difference of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .paper import Source, file_label, when
from .scale import Snapshot


@dataclass(frozen=True)
class Subject:
    """values: [L, H, r, r]. layers: names of the L modules. name: for files. moment: words for titles. symbol: S or ΔS.

    source: the caption's beginning.
    """

    values: np.ndarray
    layers: list[str]
    name: str
    moment: str
    symbol: str
    source: str

    @property
    def shape(self) -> str:
        """The states of one layer in words: '8 × 8', '4 states of 8 × 8'."""
        heads, rank = self.values.shape[1:3]
        return f"{rank} × {rank}" if heads == 1 else f"{heads} states of {rank} × {rank}"


def state_of(snapshot: Snapshot, source: Source) -> Subject:
    """The states after one step."""
    moment = when(snapshot.label)
    return Subject(snapshot.states, snapshot.layers, file_label(snapshot.label), moment, "S", source.caption(moment))


def change_of(snapshot: Snapshot, source: Source, other: Snapshot, other_source: Source | None = None) -> Subject:
    """`snapshot` less `other`. other_source: where `other` comes from when that is another arm.

    Raises ValueError when the states have different shapes.
    """
    if snapshot.states.shape != other.states.shape:
        shapes = " and ".join(" × ".join(map(str, one.states.shape)) for one in (snapshot, other))
        raise ValueError(
            f"States of {shapes} (layers × states × rows × columns) cannot be subtracted; "
            "compare columns that use the same kind of adapter."
        )
    words, name = when(snapshot.label), file_label(snapshot.label)
    if other_source is None or other_source == source:
        second = f"that {when(other.label)}"
        caption = source.caption(f"{words}, less {second}")
        against = other.label
    else:
        # Only what sets the other source apart, else the caption says everything twice.
        apart = [b for a, b in zip(_parts(source), _parts(other_source), strict=True) if a != b and b]
        second = f"that of {' · '.join(apart)} {when(other.label)}"
        caption = f"{source.caption(words)}, less {second}"
        against = " ".join([*apart, other.label])
    return Subject(
        snapshot.states - other.states,
        snapshot.layers,
        f"{name}-less-{file_label(against)}",
        f"{words}, less {second}",
        "ΔS",
        caption,
    )


def _parts(source: Source) -> tuple[str, str, str]:
    return source.model, source.adapter, source.arm
