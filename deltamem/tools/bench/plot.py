"""A benchmark's file as a plot. A module of its own: a machine that only measures needs no matplotlib."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def plot(found, path):
    """Decoding speed against the history in the prompt, and preload time against the history written, as PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    speed, time = figure.subplots(1, 2)
    for item, subject, label, style in (
        ("decode", "base", "base, history in the prompt", "o-"),
        ("decode", "TSW", "δ-mem, history in the prompt", "s-"),
        ("decode after preload", "TSW", "δ-mem, history in the state", "D--"),
    ):
        points = sorted(
            (row["tokens"], row["tok_s"])
            for row in found["figures"]
            if (row["item"], row["subject"]) == (item, subject)
        )
        if points:
            speed.plot(*zip(*points, strict=True), style, markersize=4, label=label)
    loads = [row for row in found["figures"] if row["item"] == "preload"]
    if loads:
        longest = max(loads, key=lambda row: row["tokens"])
        time.plot(*zip(*longest["times"], strict=True), "o-", markersize=4)
    speed.set(xscale="log", xlabel="history, tokens", ylabel="decoding, tokens/s", ylim=(0, None))
    speed.legend(fontsize="small")
    time.set(xscale="log", yscale="log", xlabel="history, tokens", ylabel="time to write it into the state, s")
    for axes in (speed, time):
        axes.grid(alpha=0.3)
    figure.suptitle(f"{found['model']}, {found['device']}, {found['dtype']}, {found['date']}", fontsize="medium")
    figure.savefig(path, dpi=130)
