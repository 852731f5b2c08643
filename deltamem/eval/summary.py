"""The table of several runs: scores with intervals, differences between conditions, costs. As Markdown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from .conditions import CONDITIONS
from .errors import EvalError
from .intervals import difference, mean_interval, pairs
from .protocol import FOLDER, read_protocol
from .records import read_run


@dataclass(frozen=True)
class Result:
    """A finished run: its header, its records in the order of the questions, and its protocol."""

    header: dict
    records: list
    protocol: object

    @property
    def title(self):
        adapter = f", {self.header['adapter']}" if self.header["adapter"] else ""
        return f"{CONDITIONS[self.header['condition']].title}{adapter}"

    @property
    def model(self):
        return self.header["model"]

    def mean(self, name):
        """(mean, low, high) of a score, 0 to 1."""
        return mean_interval(*pairs(self.records, name))


def read_results(paths):
    """{task: [Result, ...]} of result files, conditions in their order. Raises EvalError when they cannot be joined."""
    results = {}
    for path in paths:
        header, records = read_run(path)
        task = header.get("task")
        if task is None or header.get("condition") not in CONDITIONS:
            raise EvalError(f"{Path(path).name} holds no run; give a result file of this command.")
        if len(records) < header["questions"]:
            raise EvalError(
                f"{Path(path).name} answers {len(records)} of {header['questions']} questions; start its "
                "command again, which goes on where it stopped."
            )
        protocol = read_protocol(task)
        ordered = sorted(records.values(), key=lambda record: record["index"])
        for other in results.get(task, []):
            for name, what in (("protocol_hash", "protocol"), ("data_hash", "data")):
                if other.header[name] != header[name]:
                    raise EvalError(
                        f"{Path(path).name} was run on another {what} than the other {task} files "
                        f"({header[name][:12]}, not {other.header[name][:12]}); join runs of one {what} only."
                    )
        results.setdefault(task, []).append(Result(header, ordered, protocol))
    order = list(CONDITIONS)
    for found in results.values():
        found.sort(key=lambda result: (result.model, order.index(result.header["condition"]), result.title))
    return results


def markdown(results, against=None):
    """The whole report. against: condition that differences are taken from (default: the first of each task)."""
    parts = []
    for task, found in results.items():
        parts += [_scores(found), _costs(found)]
        if len(found) > 1:
            parts.append(_differences(task, found, against))
        if found[0].protocol.groups or len({record["group"] for record in found[0].records}) > 1:
            parts.append(_groups(found))
    parts.append(_average(results))
    return "\n\n".join(parts) + "\n"


def _scores(found):
    first = found[0]
    metrics = first.protocol.metrics
    rows = [
        [result.title, result.model, len(result.records)] + [_percent(*result.mean(name)) for name in metrics]
        for result in found
    ]
    lines = [
        f"## {first.protocol.title}",
        "",
        f"{first.protocol.source}. {len(first.records)} questions ({first.header['asked']}); data "
        f"{first.header['data_hash'][:12]}, protocol {first.header['protocol_hash'][:12]}, seed "
        f"{first.header['seed']}. Means in percent, 95% bootstrap interval over questions.",
        "",
        _table(["", "model", "n", *metrics.values()], rows),
    ]
    return "\n".join(lines)


def _costs(found):
    rows = []
    for result in found:
        records = result.records

        def mean(name, records=records):
            return float(np.mean([record[name] for record in records]))

        cut = sum(record["clipped"] for record in records)
        full = sum(record["stop"] == "length" for record in records)
        rows.append(
            [
                result.title,
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
    return _table([*heads, "cut at the limit"], rows) + f"\n\nOn {where}.{adapters}"


def _differences(task, found, against):
    chosen = [result for result in found if result.header["condition"] == against] or found
    base, name = chosen[0], found[0].protocol.primary
    values, weights = pairs(base.records, name)
    rows = []
    for result in found:
        if result is base:
            continue
        own, _ = pairs(result.records, name)
        better, worse = int((own > values).sum()), int((own < values).sum())
        rows.append([result.title, _signed(*difference(own, values, weights)), better, worse])
    title = f"{found[0].protocol.metrics[name]}, difference from “{base.title}”, points"
    return _table([title, "", "better on", "worse on"], rows)


def _groups(found):
    name = found[0].protocol.primary
    titles = found[0].protocol.groups
    groups = list(dict.fromkeys([*titles, *(record["group"] for record in found[0].records)]))
    rows = []
    for group in groups:
        chosen = [[r for r in result.records if r["group"] == group] for result in found]
        if chosen[0]:
            means = [_percent(*mean_interval(*pairs(records, name))) for records in chosen]
            rows.append([titles.get(group, group), len(chosen[0]), *means])
    return _table([found[0].protocol.metrics[name], "n", *(result.title for result in found)], rows)


def _average(results):
    """The five-benchmark average of every condition that has all five, beside what others published."""
    published = yaml.safe_load((FOLDER / "published.yaml").read_text(encoding="utf-8"))
    wanted = published["average"]["scores"]
    columns = {}
    for task, found in results.items():
        for result in found if task in wanted else []:
            columns.setdefault((result.model, result.title), {})[task] = 100 * result.mean(wanted[task])[0]
    rows = [
        [f"{title} ({model})", f"{sum(found.values()) / len(found):.2f}"]
        for (model, title), found in columns.items()
        if set(found) == set(wanted)
    ]
    rows = rows or [["measured here: not all five benchmarks were run", "–"]]
    rows += [[row["title"], f"{row['average']:.2f}"] for row in published["rows"]]
    lines = ["## Five-benchmark average", "", f"Defined as the {published['average']['definition']}."]
    lines += [f"Published rows {published['note']}.", "", _table(["", "average"], rows)]
    return "\n".join(lines)


def _percent(mean, low, high):
    return f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _signed(mean, low, high):
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _table(heads, rows):
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
