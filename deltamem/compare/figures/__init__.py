"""Pictures of the memory and of what it recalls, each with its numbers as a table.

Drawn with matplotlib's object interface only (no pyplot), so that threads never share a figure. The arrays come
from session snapshots (states [L, H, r, r], beta and lam [L, H, r], float32) and traces (beta and influence [L, T]).
"""

from deltamem.compare.tables import csv_text

from .atlas import AtlasLayout, change_atlas, states_atlas
from .gates import gate_map
from .influence import influence_map
from .layer import layer_change, layer_states
from .paper import DARK, LIGHT, LOOKS, Look, Picture, Source, file_label, png, svg, when
from .probes import probe_chart
from .report import report_figures
from .scale import layer_norms, size_limit, state_limit
from .sizes import effective_rank, norm_map, singular_values, spectrum
from .tokens import token_html, token_rows, token_text

__all__ = [
    "DARK",
    "LIGHT",
    "LOOKS",
    "AtlasLayout",
    "Look",
    "Picture",
    "Source",
    "change_atlas",
    "csv_text",
    "effective_rank",
    "file_label",
    "gate_map",
    "influence_map",
    "layer_change",
    "layer_norms",
    "layer_states",
    "norm_map",
    "png",
    "probe_chart",
    "report_figures",
    "singular_values",
    "size_limit",
    "spectrum",
    "state_limit",
    "states_atlas",
    "svg",
    "token_html",
    "token_rows",
    "token_text",
    "when",
]
