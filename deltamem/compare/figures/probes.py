"""What each arm recalled: bars with 95% intervals, the number beside each."""

from __future__ import annotations

from collections.abc import Sequence

from .paper import LIGHT, SMALL, TEXT, Look, Picture, axes_at, caption_height, dress, many, sheet, wrap

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # Okabe and Ito: told apart with every colour blindness
RIGHT, TOP, BOTTOM = 1.3, 0.42, 0.45  # inches
BAR, GAP = 0.17, 0.14  # inches: one bar, between two arms
NAME = 26  # characters of an arm's name in a line


def probe_chart(results: Sequence[dict], caption: str, look: Look = LIGHT) -> Picture:
    """Shares from 0 to 100%, a group of bars for each arm, one bar a metric.

    results: dicts with "arm" and "metric" (titles), "value", "low" and "high" (0 to 1; the ends of the 95% interval)
    and "count" (questions). caption: what was run, on which model. Arms and metrics appear in the order of `results`.
    """
    arms, metrics = _unique(results, "arm"), _unique(results, "metric")
    counts = sorted({int(row["count"]) for row in results})
    asked = many(counts[0], "question") if counts else "no questions"
    if len(counts) > 1:
        asked = f"{counts[0]:,} to {counts[-1]:,} questions"
    text = [f"{caption} {asked[0].upper()}{asked[1:]} for each column; lines are 95% intervals."]
    names = [wrap([arm], NAME * SMALL * 0.53 / 72 + 0.2) for arm in arms]
    left = 0.25 + 0.062 * max((len(line) for name in names for line in name.splitlines()), default=10)
    group = max(BAR * len(metrics), 0.19 * max((name.count("\n") + 1 for name in names), default=1))
    tall = max((group + GAP) * len(arms), 0.5)
    foot = caption_height(text, look.width)
    lines = 0 if len(metrics) < 2 else 1 if look.wide else len(metrics)  # of the legend
    legend = 0.1 + 0.2 * lines if lines else 0.0
    title = "Recall of the probes" + (f": {metrics[0]}" if len(metrics) == 1 else "")
    figure = sheet(look.width, TOP + legend + tall + BOTTOM + foot, title, text, look)
    axes = axes_at(figure, left, foot + BOTTOM, look.width - left - RIGHT, tall)
    dress(axes, look)
    axes.set_facecolor(look.ground)
    axes.set_xlim(0, 1)
    axes.set_ylim(tall, 0)
    for row in results:
        kind = metrics.index(row["metric"])
        middle = (
            arms.index(row["arm"]) * (group + GAP) + GAP / 2 + (group - BAR * len(metrics)) / 2 + (kind + 0.5) * BAR
        )
        value, low, high = (min(max(float(row[name]), 0.0), 1.0) for name in ("value", "low", "high"))
        first = arms.index(row["arm"]) == 0
        axes.barh(
            middle,
            value,
            BAR * 0.84,
            color=COLOURS[kind % 4],
            linewidth=0,
            label=row["metric"] if first else None,
        )
        words = f"{value:.0%}"
        if low < high:  # one of no width, as for F1s that are all the same, says nothing
            axes.plot([low, high], [middle, middle], color=look.ink, lw=1, solid_capstyle="butt")
            axes.plot([low, high], [middle, middle], "|", color=look.ink, ms=4, mew=1)
            words += f"  [{low:.0%}, {high:.0%}]"
        axes.text(1.015, middle, words, size=SMALL, color=look.ink, va="center", transform=axes.transData)
    axes.set_yticks([index * (group + GAP) + GAP / 2 + group / 2 for index in range(len(arms))], names)
    axes.tick_params(axis="y", length=0)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    shares = (0, 0.25, 0.5, 0.75, 1) if look.wide else (0, 0.5, 1)
    axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
    axes.set_xlabel(
        "share of the questions" if len(metrics) > 1 else metrics[0] if metrics else "", size=TEXT, color=look.ink
    )
    axes.grid(axis="x", lw=0.4, color=look.empty)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if legend:
        place = (left / look.width, 1 - (TOP - 0.06) / figure.get_size_inches()[1])
        figure.legend(
            loc="upper left",
            bbox_to_anchor=place,
            ncols=4 if look.wide else 1,
            fontsize=SMALL,
            frameon=False,
            labelcolor=look.ink,
            borderaxespad=0,
            borderpad=0.2,
            handlelength=1.4,
            columnspacing=1.4,
        )
    header = ["column", "metric", "value", "low", "high", "questions"]
    rows = [[r["arm"], r["metric"], *(float(r[n]) for n in ("value", "low", "high")), int(r["count"])] for r in results]
    return Picture("probes", title, figure, [header, *rows])


def _unique(results: Sequence[dict], name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in results))
