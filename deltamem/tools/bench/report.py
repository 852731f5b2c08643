"""A benchmark's file as a table in Markdown."""


def table(found):
    """Markdown lines: base and δ-mem beside each other, their ratio, and decoding's share of the bandwidth limit.

    found: what the command wrote.
    """
    rows = [("| | base | δ-mem | δ-mem ÷ base | share of the bandwidth limit, base / δ-mem |"), "|---|---|---|---|---|"]
    base = {}  # the last base row of each item and length: every set of rows begins with its own
    for row in found["figures"]:
        if row["subject"] == "base":
            base[row["item"], row["tokens"]] = row
        rows += _lines(row, base.get((row["item"], row["tokens"])), found)
    rows.append(_start("before the first answer", found["start_s"]))
    if again := found.get("second_start_s"):  # a GPU's only: on a CPU nothing is compiled
        rows.append(_start("the same in another process, with what the first compiled", again))
    return rows


def heading(found):
    """One line: date, machine, versions, what ran."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items() if number)
    passed = sum(check["ok"] for check in found["checks"])
    return (
        f"{found['date']}, one {found['device']} ({found['copy_bytes_s'] / 1e12:.2f} TB/s by copying, measured in the "
        f"same run), {found['model']}, {found['dtype']}, {versions}; {passed} of {len(found['checks'])} checks passed; "
        f"`{found['command']}`"
    )


def _start(what, seconds):
    """What is waited for, apart from the weights, which come from a disk or a random generator."""
    parts = {name: one for name, one in seconds.items() if name != "weights"}
    whole = ", ".join(f"{name} {one:.1f}" for name, one in parts.items())
    return f"| {what}, s ({whole}) | | {sum(parts.values()):.1f} | | |"


def _lines(row, base, found):
    item, subject, tokens = row["item"], row["subject"], f"{row['tokens']:,} tokens"
    if item == "scan":
        return [f"| scan alone, {tokens}, rank 8, ms | | {row['ms']:.3f} | | |"]
    if item == "preload":
        peak = f", peak {row['peak_gib']:.3f} GiB" if row["peak_gib"] else ""
        return [f"| {tokens} of history written, s ({row['tok_s']:,.0f} tokens/s{peak}) | | {row['seconds']:.2f} | | |"]
    if subject == "base" or base is None:
        return []
    if item == "prefill":
        pair = f"{base['seconds']:.3f} | {row['seconds']:.3f}"
        return [f"| prompt of {tokens}, {subject}, s | {pair} | {row['ratio']:.3f} | |"]
    if item == "peak":
        if not row["gib"]:
            return []
        pair = f"{base['gib']:.3f} | {row['gib']:.3f}"
        return [f"| peak memory behind {tokens}, {subject}, GiB | {pair} | {row['gib'] / base['gib']:.4f} | |"]
    if item == "arms":
        pair = f"{base['step_ms']:.2f} | {row['step_ms']:.2f}"
        return [f"| a step of {subject} behind {tokens}, ms (base: one arm) | {pair} | {row['ratio']:.3f} | |"]
    what = {
        "decode": f"decoding behind {tokens}",
        "variants": f"decoding behind {tokens}",
        "decode after preload": f"decoding with {tokens} of history in the state",
        "plain loop": f"plain loop behind {tokens}",
    }[item]
    shares = ""
    if item in ("decode", "variants"):
        limit = found["copy_bytes_s"] / (found["weight_bytes"] + found["kv_bytes"] * row["tokens"])
        shares = f"{base['tok_s'] / limit:.0%} / {row['tok_s'] / limit:.0%}"
    pair = f"{base['tok_s']:.1f} | {row['tok_s']:.1f}"
    return [f"| {what}, {subject}, tokens/s | {pair} | {1 / row['ratio']:.3f} | {shares} |"]
