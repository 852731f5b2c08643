"""The table of several runs: scores with intervals, differences between conditions, costs. As Markdown."""

import numpy as np
import yaml

from .conditions import CONDITIONS
from .intervals import difference, mean_interval, pairs
from .protocol import FOLDER


def markdown(results, against=None):
    """The whole report. against: condition that differences are taken from (default: the first of each task)."""
    parts = [_overview(results)] if len(results) > 1 else []
    for found in results.values():
        parts += [_scores(found), _costs(found)]
        if len(found) > 1:
            parts.append(_differences(found, against))
        if len({record["group"] for result in found for record in result.records}) > 1:
            parts.append(_groups(found))
    parts += _average(results)
    return "\n\n".join(parts) + "\n"


def _overview(results):
    """A row per condition, a column per benchmark with its primary score."""
    columns = {task: {result.place: result for result in found} for task, found in results.items()}
    heads = []
    for found in results.values():
        protocol = found[0].protocol
        heads.append(f"{protocol.title}, {protocol.metrics[protocol.primary]}, n = {found[0].header['questions']}")
    places = sorted({place for column in columns.values() for place in column})
    several = len({model for model, *_ in places}) > 1
    rows = [
        [_named(place[2], place[0], several), *(_whole_cell(column.get(place)) for column in columns.values())]
        for place in places
    ]
    return "\n".join(["## Overview", "", _table(["percent", *heads], rows)])


def _titles(found):
    """What each run is called in a table: with its model only where there are several."""
    several = len({result.model for result in found}) > 1
    return [_named(result.title, result.model, several) for result in found]


def _named(title, model, several):
    return f"{title} ({model})" if several else title


def _whole_cell(result):
    return _cell(result.records, result.protocol.primary, result.header["questions"]) if result else "–"


def _scores(found):
    first = found[0]
    metrics = first.protocol.metrics
    rows = [
        [title, result.count] + [_percent(*result.mean(name)) for name in metrics]
        for title, result in zip(_titles(found), found, strict=True)
    ]
    stopped = " Runs of only some of the questions were stopped early." * any(not result.whole for result in found)
    lines = [
        f"## {first.protocol.title}",
        "",
        f"{first.protocol.source}. {first.header['questions']} questions ({first.header['asked']}); data "
        f"{first.header['data_hash'][:12]}, protocol {first.header['protocol_hash'][:12]}, seed "
        f"{first.header['seed']}. Means in percent, 95% bootstrap interval over questions." + stopped,
        "",
        _table(["", "n", *metrics.values()], rows),
    ]
    return "\n".join(lines)


def _costs(found):
    rows = []
    for title, result in zip(_titles(found), found, strict=True):
        records = result.records

        def mean(name, records=records):
            return float(np.mean([record[name] for record in records]))

        cut = sum(record["clipped"] for record in records)
        full = sum(record["stop"] == "length" for record in records)
        rows.append(
            [
                title,
                f"{mean('prompt_tokens'):,.0f}",
                f"{mean('written_tokens'):,.0f}",
                f"{mean('new_tokens'):,.1f}",
                f"{mean('seconds'):.3f}",
                f"{max(record['peak_bytes'] for record in records) / 2**30:.2f}",
                cut,
                full,
            ]
        )
    heads = ["cost of a question", "prompt tokens", "written tokens", "new tokens", "seconds", "peak GiB", "clipped"]
    where = "; ".join(dict.fromkeys(f"{r.header['device']}, {r.header['dtype']}" for r in found))
    used = dict.fromkeys(f"{h['adapter']} {h['adapter_hash'][:12]}" for h in (r.header for r in found) if h["adapter"])
    adapters = f" Adapters: {', '.join(used)}." if used else ""
    models = ", ".join(dict.fromkeys(result.model for result in found))
    return _table([*heads, "cut at the limit"], rows) + f"\n\n{models} on {where}.{adapters}"


def _differences(found, against):
    """Every run beside one, over the questions that both answered. Where the condition was run with several adapters,
    each run stands beside the one of its own adapter."""
    bases = [result for result in found if result.header["condition"] == against] or found[:1]
    bases = bases if bases[0].header["adapter"] else bases[:1]
    name = bases[0].protocol.primary
    rows = []
    for title, result in zip(_titles(found), found, strict=True):
        own = [base for base in bases if base.header["adapter_hash"] == result.header["adapter_hash"]]
        base = (own or bases)[0]
        asked = {record["id"]: record for record in base.records}
        both = [record for record in result.records if record["id"] in asked]
        if result is base or not both or (len(bases) > 1 and not own):
            continue
        values, weights = pairs(both, name)
        others, _ = pairs([asked[record["id"]] for record in both], name)
        better, worse = int((values > others).sum()), int((values < others).sum())
        rows.append([title, len(both), _signed(*difference(values, others, weights)), better, worse])
    beside = bases[0].title if len(bases) == 1 else f"{CONDITIONS[against].title}, each its own adapter’s"
    head = f"{bases[0].protocol.metrics[name]}, difference from “{beside}”, points"
    return _table([head, "n", "", "better on", "worse on"], rows)


def _groups(found):
    name = found[0].protocol.primary
    titles = found[0].protocol.groups
    groups = list(dict.fromkeys([*titles, *(record["group"] for result in found for record in result.records)]))
    heads, columns = [], []
    for group in groups:
        chosen = [[r for r in result.records if r["group"] == group] for result in found]
        if most := max(map(len, chosen)):
            heads.append(f"{titles.get(group, group)}, n = {most}")
            columns.append([_cell(records, name, most) for records in chosen])
    return _table([found[0].protocol.metrics[name], *heads], zip(_titles(found), *columns, strict=True))


def _cell(records, name, most):
    """A group's mean, with its number where it is not that of the row."""
    if not records:
        return "–"
    return _percent(*mean_interval(*pairs(records, name))) + f" (n = {len(records)})" * (len(records) < most)


def _average(results):
    """The five-benchmark average of every condition that has all five, beside what others published: a list of one
    part, empty where none of the five was run."""
    published = yaml.safe_load((FOLDER / "published.yaml").read_text(encoding="utf-8"))
    wanted = published["average"]["scores"]
    if not set(wanted) & set(results):
        return []
    columns = {}
    for task, found in results.items():
        for result in (r for r in found if task in wanted and r.whole and r.header["asked"] == "all"):
            columns.setdefault((result.model, result.title), {})[task] = 100 * result.mean(wanted[task])[0]
    rows = [
        [f"{title} ({model})", f"{sum(found.values()) / len(found):.2f}"]
        for (model, title), found in columns.items()
        if set(found) == set(wanted)
    ]
    rows = rows or [["measured here: not all five benchmarks were run whole", "–"]]
    rows += [[row["title"], f"{row['average']:.2f}"] for row in published["rows"]]
    lines = ["## Five-benchmark average", "", f"Defined as the {published['average']['definition']}."]
    lines += [f"Published rows {published['note']}.", "", _table(["", "average"], rows)]
    return ["\n".join(lines)]


def _percent(mean, low, high):
    return f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _signed(mean, low, high):
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _table(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
