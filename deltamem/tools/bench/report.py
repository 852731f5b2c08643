"""The figures as a table in Markdown, and as a plot."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deltamem.tools.bench.measures import step_bytes


def table(model, results, rate):
    """Markdown lines: base and δ-mem beside each other, their ratio, and decoding's share of the copy rate's limit."""
    lines = [
        "| | base | δ-mem | ratio | share of the bandwidth limit (base / δ-mem) |",
        "|---|---|---|---|---|",
    ]
    for row in results.rows:
        base = results.find(row["item"], "base", row["tokens"])
        subject, tokens = row["subject"], row["tokens"]
        if row["item"] == "prefill" and subject != "base" and base:
            ratio = row["value"] / base["value"]
            pair = f"{base['value']:.3f} | {row['value']:.3f}"
            lines.append(f"| prefill {tokens:,} tokens, {subject}, s | {pair} | {ratio:.3f} | |")
        elif row["item"] == "decode" and subject != "base" and base:
            limit = rate / step_bytes(model, tokens)
            if "arms" in subject:
                ratio = row["step_ms"] / base["step_ms"]
                lines.append(
                    f"| step of {subject} behind {tokens:,} tokens, ms (base: one arm) | {base['step_ms']:.2f} | "
                    f"{row['step_ms']:.2f} | {ratio:.3f} | |"
                )
                continue
            lines.append(
                f"| decode behind {tokens:,} tokens, {subject}, tok/s | {base['tok_s']:.1f} | {row['tok_s']:.1f} | "
                f"{row['tok_s'] / base['tok_s']:.3f} | {base['tok_s'] / limit:.0%} / {row['tok_s'] / limit:.0%} |"
            )
            if row.get("peak_gib") and base.get("peak_gib"):
                lines.append(
                    f"| peak memory, {tokens:,} tokens, {subject}, GiB | {base['peak_gib']:.3f} | "
                    f"{row['peak_gib']:.3f} | {row['peak_gib'] / base['peak_gib']:.4f} | |"
                )
        elif row["item"] == "scan":
            lines.append(f"| scan alone, {tokens:,} tokens, rank 8, ms | | {row['value']:.3f} | | |")
        elif row["item"] == "preload":
            peak = f", peak {row['peak_gib']:.2f} GiB" if row.get("peak_gib") else ""
            lines.append(f"| preload {tokens:,} tokens, s{peak} | | {row['seconds']:.2f} | | |")
        elif row["item"] == "plain loop":
            lines.append(f"| plain loop behind {tokens:,} tokens, {subject}, tok/s | {row['value']:.1f} | | | |")
    return lines


def plot(results, path, title):
    """Decoding speed against the history in the prompt, and preload time against the history written, as PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    speed, time = figure.subplots(1, 2)
    for subject, label in (("base", "base, history in the prompt"), ("TSW", "δ-mem, history in the prompt")):
        found = sorted(
            (r["tokens"], r["tok_s"]) for r in results.rows if (r["item"], r["subject"]) == ("decode", subject)
        )
        if found:
            speed.plot(*zip(*found, strict=True), marker="o", label=label)
    loads = sorted((r["tokens"], r["seconds"]) for r in results.rows if r["item"] == "preload")
    shortest = min(
        (r for r in results.rows if (r["item"], r["subject"]) == ("decode", "TSW")), key=lambda r: r["tokens"]
    )
    if loads:
        ends = [loads[0][0], loads[-1][0]]
        speed.plot(
            ends, [shortest["tok_s"]] * 2, "--", label=f"δ-mem, history in the state ({shortest['tokens']:,} shown)"
        )
        time.plot(*zip(*loads, strict=True), marker="o")
    speed.set(xscale="log", xlabel="history, tokens", ylabel="decoding, tokens/s", ylim=(0, None))
    speed.legend(fontsize="small")
    time.set(xscale="log", yscale="log", xlabel="history, tokens", ylabel="preload, s")
    figure.suptitle(title, fontsize="medium")
    figure.savefig(path, dpi=130)
