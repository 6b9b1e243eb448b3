"""Intervals over several seeds: how sure a number is that some runs of one setting gave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robot_lfd.evaluate import Z_95, wilson_interval

T_95 = (  # Student's t, 97.5 % quantiles for 1 to 30 degrees of freedom
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
Interval = tuple[float, float]


def effective_episodes(counts: Sequence[tuple[int, int]]) -> float:
    """Returns how many independent episodes those of several runs are worth, for (successes, episodes) of each run.

    Episodes of one run share its policy. Where runs disagree more than chance would have it, their episodes count for
    less: N over the design effect, which is the variance between the runs' rates over what p (1 - p) / m predicts.

    Source: Kish, Survey Sampling (1965), sec. 8.2; the effective number in Wilson's interval: Dean and Pagano, Journal
    of Survey Statistics and Methodology 3 (2015) 484-503. No less than one episode, no more than there are.
    """
    total = sum(n for _, n in counts)
    p = sum(k for k, _ in counts) / total
    if len(counts) < 2 or p in (0.0, 1.0):
        return float(total)
    between = sum(n * (k / n - p) ** 2 for k, n in counts) / (len(counts) - 1)
    effect = max(1.0, between / (p * (1.0 - p)))
    return max(1.0, total / effect)


def pooled_interval(counts: Sequence[tuple[int, int]]) -> Interval:
    """Returns the Wilson 95 % interval of the success of all runs together, see `effective_episodes`."""
    n = effective_episodes(counts)
    return wilson_interval(sum(k for k, _ in counts) / sum(m for _, m in counts) * n, n)


def mean_interval(values: Sequence[float]) -> Interval:
    """Returns Student's 95 % interval of the mean of a few runs' numbers; of one number, that number itself."""
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return mean, mean
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = (T_95[n - 2] if n <= len(T_95) + 1 else Z_95) * spread / math.sqrt(n)
    return mean - half, mean + half
