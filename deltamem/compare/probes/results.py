"""What the arms answered to the probes, scored, counted and as tables."""

from dataclasses import dataclass, field

import numpy as np

from deltamem.compare.metrics import contains, exact_match, token_f1
from deltamem.compare.tables import csv_text

METRICS = {"exact": exact_match, "contains": contains, "f1": token_f1}
TITLES = {"contains": "contains an accepted answer", "exact": "is an accepted answer", "f1": "token F1"}
RESAMPLES = 10_000
Z = 1.959964  # of the normal distribution, 95% lies within ± this


@dataclass(frozen=True)
class ProbeAnswer:
    """One arm's answer to one probe. text: what it said; error: why it could not answer (text is then empty).

    exact, contains, f1: scores from 0 to 1 (see compare.metrics). stats: of the turn, as Session.reply gives them.
    """

    text: str
    exact: float = 0.0
    contains: float = 0.0
    f1: float = 0.0
    error: str = ""
    stats: dict = field(default_factory=dict)

    @property
    def mark(self):
        """ "✓" for an answer that contains an accepted one, else "✗"."""
        return "✓" if self.contains or self.exact else "✗"


def score(text, probe, stats=None, error=""):
    """The ProbeAnswer of a text; what could not be answered scores 0."""
    scores = {name: 0.0 if error else metric(text, list(probe.answers)) for name, metric in METRICS.items()}
    return ProbeAnswer(text=text, error=error, stats=stats or {}, **scores)


@dataclass
class ProbeResults:
    """titles: arm key -> title. probes: all that were to be asked. answers: arm key -> answers to the first of them.

    complete: False when the run was stopped; the probes that every arm answered are then counted. settings: how the
    questions were asked.
    """

    titles: dict[str, str]
    probes: list
    answers: dict[str, list[ProbeAnswer]]
    complete: bool
    settings: dict

    @property
    def asked(self):
        """How many probes every arm answered."""
        return min(map(len, self.answers.values()), default=0)

    def summary(self, seed=0):
        """Per arm: a dict of "key", "arm", "n" and, per metric, its mean with the ends of its 95% interval.

        Keys: exact, exact_low, exact_high, contains …, f1 …; NaN when nothing was asked. See interval().
        """
        rows = []
        for key, title in self.titles.items():
            row = {"key": key, "arm": title, "n": self.asked}
            for name in METRICS:
                values = [getattr(answer, name) for answer in self.answers[key][: self.asked]]
                row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(values, seed)
            rows.append(row)
        return rows

    def bars(self, metrics=("contains", "exact", "f1")):
        """The summary as figures.probe_chart takes it: one dict per arm and metric. Empty when nothing was asked."""
        return [
            {
                "arm": row["arm"],
                "metric": TITLES[name],
                "value": row[name],
                "low": row[f"{name}_low"],
                "high": row[f"{name}_high"],
                "count": row["n"],
            }
            for row in self.summary()
            for name in metrics
            if row["n"]
        ]

    def table(self):
        """(header, rows) for people: a row per probe; every arm's answer stands behind ✓ or ✗."""
        header = ["#", "Question", "Accepted answers", *self.titles.values()]
        rows = []
        for number, probe in enumerate(self.probes[: self.asked], 1):
            answers = (self.answers[key][number - 1] for key in self.titles)
            said = [f"{answer.mark} {answer.error or answer.text}" for answer in answers]
            rows.append([number, probe.question, " | ".join(probe.answers), *said])
        return header, rows

    def to_csv(self):
        """One row per probe and arm, with all scores. Cells that a spreadsheet would run as formulas open with '."""
        header = ["number", "question", "accepted", "arm", "title", "answer", *METRICS]
        header += ["stop", "prompt_tokens", "passages", "error"]
        rows = []
        for number, probe in enumerate(self.probes[: self.asked], 1):
            for key, title in self.titles.items():
                answer = self.answers[key][number - 1]
                scores = [f"{getattr(answer, name):.4g}" for name in METRICS]
                turn = [answer.stats.get("stop", ""), answer.stats.get("prompt_tokens", "")]
                turn.append("\n".join(answer.stats.get("passages") or ()))
                accepted = " | ".join(probe.answers)
                rows.append([number, probe.question, accepted, key, title, answer.text, *scores, *turn, answer.error])
        return csv_text([header, *rows])

    def summary_csv(self):
        """The summary as CSV."""
        rows = self.summary()
        header = list(rows[0]) if rows else []
        return csv_text([header, *([_rounded(row[name]) for name in header] for row in rows)])


def interval(values, seed=0):
    """(mean, low, high): the mean with its 95% interval. NaN for no values.

    Wilson's interval for a share, where all values are 0 or 1: it has a width also when all are the same, as with the
    few probes that people write. Else the percentile bootstrap's, of 10,000 resamples.
    """
    values = np.asarray(values, float)
    if not values.size:
        return (float("nan"),) * 3
    if np.isin(values, (0, 1)).all():
        share, count = float(values.mean()), values.size
        middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
        reach = Z / (1 + Z**2 / count) * (share * (1 - share) / count + Z**2 / (4 * count**2)) ** 0.5
        return share, max(middle - reach, 0.0), min(middle + reach, 1.0)
    drawn = np.random.default_rng(seed).integers(values.size, size=(RESAMPLES, values.size))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _rounded(value):
    return f"{value:.4g}" if isinstance(value, float) else value
