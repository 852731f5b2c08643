"""Means with bootstrap intervals, and paired differences."""

import functools

import numpy as np

RESAMPLES = 4000
LEVEL = 95


def pairs(records, name):
    """(values [n], weights [n]) of a score; a score that is a share of several has their number as its weight."""
    found = [record["scores"][name] for record in records]
    values = np.array([score[0] if isinstance(score, list) else score for score in found], float)
    return values, np.array([score[1] if isinstance(score, list) else 1 for score in found], float)


def mean_interval(values, weights):
    """(mean, low, high): the weighted mean with its percentile bootstrap interval over questions (seed 0)."""
    counts = _resamples(len(values))
    means = (counts @ (values * weights)) / (counts @ weights)
    low, high = np.percentile(means, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(np.average(values, weights=weights)), float(low), float(high)


def difference(values, others, weights):
    """(mean, low, high) of values − others on the same questions."""
    return mean_interval(values - others, weights)


@functools.lru_cache(maxsize=2)  # the runs of a table have as many questions, and drawing takes most of its time
def _resamples(n):
    """[RESAMPLES, n] how often each question is drawn."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)
