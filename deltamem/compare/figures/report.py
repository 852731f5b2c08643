"""All figures of one session, for a report: light, at the width of a page, with their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .atlas import change_atlas, states_atlas
from .gates import gate_map
from .influence import influence_map
from .layer import layer_states
from .paper import Picture, Source
from .probes import probe_chart
from .scale import Snapshot, layer_norms, size_limit, state_limit
from .sizes import norm_map, spectrum
from .tokens import Trace, token_text


def report_figures(
    source: Source,
    snapshots: Sequence[Snapshot],
    traces: Sequence[Trace] = (),
    probes: Sequence[dict] | None = None,
    scale_of: Sequence[Snapshot] | None = None,
) -> list[Picture]:
    """(name, title, matplotlib Figure, rows) of everything a session has to show, in the order of a report.

    source: for the captions. snapshots: a session's, oldest first; may be empty (an arm without memory). traces:
    of some of its steps. probes: results as `probe_chart` takes them. scale_of: snapshots of all arms, for one scale
    in all their figures; by default the session's own. rows hold the figure's numbers, the header first: see
    `csv_text`.
    """
    pictures = []
    if snapshots:
        everything = [*snapshots, *(scale_of or ())]
        limit, sizes = state_limit(everything), size_limit(everything)
        last = snapshots[-1]
        strongest = int(layer_norms(last).argmax())
        pictures.append(states_atlas(last, source, limit, strongest))
        pictures.append(layer_states(last, strongest, source, limit))
        if len(snapshots) > 1:
            pictures.append(change_atlas(last, source, snapshots[-2], limit, chosen=strongest))
        pictures.append(gate_map(last, source))
        pictures.append(norm_map(snapshots, source, sizes))
        pictures.append(spectrum(last, source, sizes))
    for trace in traces:
        pictures += [token_text(trace, source), influence_map(trace, source)]
    if probes:
        pictures.append(probe_chart(probes, f"{source.caption('')}."))
    return pictures
