"""Everything that the memory of a session was, as CSV."""

from deltamem.compare.tables import csv_text
from deltamem.runtime.settings import layer_numbers


def states_csv(snapshots):
    """A line per step, layer, state and row: the row's entries, one column each."""
    rank = snapshots[0].states.shape[-1]
    rows = [["step", "layer", "state", "row", *(f"column {index}" for index in range(rank))]]
    for snapshot, layer, head, row in _places(snapshots):
        numbers = snapshot.states[layer, head, row]
        rows.append([snapshot.label, _number(snapshot, layer), head, row, *(f"{number:.7g}" for number in numbers)])
    return csv_text(rows)


def gates_csv(snapshots):
    """A line per step, layer, state and row: mean write gate β and keep gate λ of what the step wrote."""
    rows = [["step", "layer", "state", "row", "beta", "lambda"]]
    for snapshot, layer, head, row in _places(snapshots):
        gates = (snapshot.beta[layer, head, row], snapshot.lam[layer, head, row])
        rows.append([snapshot.label, _number(snapshot, layer), head, row, *(f"{gate:.7g}" for gate in gates)])
    return csv_text(rows)


def _places(snapshots):
    for snapshot in snapshots:
        layers, heads, rank = snapshot.beta.shape
        for layer in range(layers):
            for head in range(heads):
                for row in range(rank):
                    yield snapshot, layer, head, row


def _number(snapshot, layer):
    return list(layer_numbers(snapshot.layers))[layer]
