"""Pictures of the memory: all layers' states, one layer with its numbers, the gates.

Drawn with matplotlib's object interface only (no pyplot), so that threads never share a figure. The arrays come
from session snapshots: states [L, H, r, r], beta and lam [L, H, r], float32.
"""

from .atlas import AtlasLayout, states_atlas
from .gates import gate_map
from .layer import layer_states
from .paper import Source, png, svg, when
from .scale import state_limit

__all__ = ["AtlasLayout", "Source", "gate_map", "layer_states", "png", "state_limit", "states_atlas", "svg", "when"]
