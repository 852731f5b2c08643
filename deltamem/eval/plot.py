"""One picture of several runs: every condition's primary score with its interval, one panel per benchmark."""

from matplotlib.figure import Figure


def plot(results):
    """A Figure. results: as from results.read_results."""
    rows = sum(len(found) for found in results.values())
    figure = Figure(figsize=(7, 0.9 * len(results) + 0.34 * rows), layout="constrained")
    heights = [len(found) + 1.5 for found in results.values()]
    panels = figure.subplots(len(results), 1, squeeze=False, height_ratios=heights)[:, 0]
    for panel, found in zip(panels, results.values(), strict=True):
        name = found[0].protocol.primary
        models = {result.model for result in found}
        for place, result in enumerate(reversed(found)):
            mean, low, high = (100 * value for value in result.mean(name))
            memory = result.header["adapter"] is not None
            panel.plot([low, high], [place, place], color="#c1590a" if memory else "#3a6ea5", linewidth=2)
            panel.plot(mean, place, marker="o" if memory else "s", color="#c1590a" if memory else "#3a6ea5")
            panel.annotate(
                f"{mean:.1f}", (high, place), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
            )
        labels = [r.title if len(models) == 1 else f"{r.title} ({r.model})" for r in reversed(found)]
        panel.set_yticks(range(len(found)), labels, fontsize=8)
        panel.set_ylim(-0.6, len(found) - 0.4)
        panel.set_xlim(left=0)
        panel.margins(x=0.12)
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        head = f"{found[0].protocol.title}: {found[0].protocol.metrics[name]}, % (n = {found[0].count})"
        panel.set_title(head, loc="left", fontsize=9)
    return figure
