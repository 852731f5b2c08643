"""One picture of several runs: a row per condition, a panel per benchmark with its primary scores and intervals."""

from matplotlib.figure import Figure


def plot(results):
    """A Figure. results: as from results.read_results."""
    places = sorted({result.place for found in results.values() for result in found}, reverse=True)
    several = len({model for model, *_ in places}) > 1
    labels = [f"{title} ({model})" if several else title for model, _, title in places]
    figure = Figure(figsize=(2.6 + 2.4 * len(results), 1.2 + 0.26 * len(places)), layout="constrained")
    panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    for panel, found in zip(panels, results.values(), strict=True):
        for result in found:
            _mark(panel, places.index(result.place), result)
        first = found[0]
        metric = f"{first.protocol.metrics[first.protocol.primary]}, %"
        panel.set_title(f"{first.protocol.title}\n{metric} (n = {first.header['questions']})", loc="left", fontsize=9)
        panel.set_ylim(-0.6, len(places) - 0.4)
        panel.margins(x=0.25)
        panel.set_xlim(0, max(1, panel.get_xlim()[1]))
        panel.grid(axis="x", alpha=0.3)
        panel.tick_params(labelsize=8, left=False)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(places)), labels)
    return figure


def _mark(panel, row, result):
    """A mean with its interval and number: round for a memory, hollow when questions are missing."""
    mean, low, high = (100 * value for value in result.mean(result.protocol.primary))
    memory = result.header["adapter"] is not None
    colour = "#c1590a" if memory else "#3a6ea5"
    panel.plot([low, high], [row, row], color=colour, linewidth=2)
    panel.plot(
        mean,
        row,
        marker="o" if memory else "s",
        color=colour,
        fillstyle="full" if result.whole else "none",
        clip_on=False,
    )
    panel.annotate(f"{mean:.1f}", (high, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=7)
