"""Performance profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from offline_prune.evaluation.statistics.intervals import bootstrap, half_width
from offline_prune.evaluation.statistics.scores import Floats, Scores, list_of_runs, runs_by_task

__all__ = ["Profile", "performance_profile"]


@dataclass(frozen=True)
class Profile:
    """A performance profile with its pointwise intervals.

    Attributes:
        thresholds: τ, (T,).
        values: Fraction of the runs above each τ, mean over tasks, (T,).
        low: Lower ends, (T,).
        high: Upper ends, (T,).
        level: Of the intervals.

    Examples:
        >>> from offline_prune.evaluation.statistics import performance_profile
        >>> scores = {"hopper": [0.5, 0.9], "walker": [0.4, 0.6]}
        >>> performance_profile(scores, [0.0, 0.45, 0.7]).values
        array([1.  , 0.75, 0.25])
    """

    thresholds: Floats
    values: Floats
    low: Floats
    high: Floats
    level: float = 0.95


def performance_profile(
    scores: Scores,
    thresholds: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Profile:
    """Fraction of the runs above each threshold.

    Formula: ``F(τ) = mean over tasks of (runs with score > τ) / runs``.

    Args:
        scores: Task → runs; two runs a task at least.
        thresholds: τ, (T,).
        level: Of the pointwise intervals.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The profile.

    Raises:
        InputError: If scores are missing, not finite, or only one a task.

    Examples:
        >>> from offline_prune.evaluation.statistics import performance_profile
        >>> performance_profile({"hopper": [0.5, 0.9, 1.0, 1.1]}, [0.6]).values
        array([0.75])
    """
    tau = list_of_runs("the thresholds", thresholds)
    tasks = runs_by_task(scores)

    def statistic(parts: list[Floats]) -> Floats:
        above = [(runs[None] > tau[:, None, None]).mean(-1) for runs in parts]
        return np.asarray(np.mean(above, axis=0))

    widest = len(tau) * max(map(len, tasks.values()))
    values, resampled = bootstrap(tasks, statistic, n_resamples, seed, widest)
    value = values[..., 0]
    width = half_width(resampled, [len(runs) for runs in tasks.values()], level)
    low, high = np.clip(value - width, 0, 1), np.clip(value + width, 0, 1)
    return Profile(tau, value, low, high, level)
