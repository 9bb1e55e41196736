"""What a method comes to over the runs of all tasks, alone and beside another one."""

from __future__ import annotations

import numpy as np

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics.intervals import RETAINED, Estimate, estimate
from offline_prune.evaluation.statistics.scores import (
    Floats,
    Scores,
    iqm,
    runs_by_task,
    runs_of_both,
)

__all__ = ["LEAST_DENSE_SCORE", "interquartile_mean", "ratio_to_dense"]

LEAST_DENSE_SCORE = 0.1
"""Least normalised score that a ratio is divided by.

Examples:
    >>> from offline_prune.evaluation.statistics import LEAST_DENSE_SCORE, ratio_to_dense
    >>> ratio_to_dense({"hopper": [0.01, 0.02]}, {"hopper": [0.02, 0.03]}).value
    Traceback (most recent call last):
        ...
    offline_prune.errors.InputError: ...
"""


def interquartile_mean(
    scores: Scores, *, level: float = 0.95, n_resamples: int = 10_000, seed: int = 0
) -> Estimate:
    """Interquartile mean over the runs of all tasks, with its interval.

    Args:
        scores: Task → runs; two runs a task at least.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The estimate.

    Raises:
        InputError: If scores are missing, not finite, or only one a task.

    Examples:
        >>> from offline_prune.evaluation.statistics import interquartile_mean
        >>> scores = {"hopper": [0.5, 0.6, 0.7], "walker": [0.8, 0.9, 1.0]}
        >>> estimate = interquartile_mean(scores)
        >>> print(f"{estimate.value:.2f} {estimate.low < estimate.value < estimate.high}")
        0.75 True
    """
    tasks = runs_by_task(scores)
    return estimate(tasks, lambda p: iqm(np.concatenate(p, -1)), level, n_resamples, seed)


def ratio_to_dense(
    pruned: Scores,
    dense: Scores,
    *,
    least: float = LEAST_DENSE_SCORE,
    bar: float = RETAINED,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """How much of the dense agent's score is left: a ratio of interquartile means.

    Formula: ``IQM(pruned) / IQM(dense)``. The bootstrap draws pairs: a pruned run and
    the dense run of its seed come and go together. :attr:`Estimate.retained` says whether
    the lower bound is at least ``bar``.

    Args:
        pruned: Task → normalised scores, in the order of the seeds.
        dense: The same tasks and seeds.
        least: Least interquartile mean of dense scores that may be divided by.
        bar: What counts as retained; a study declares it before its runs.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The estimate.

    Raises:
        InputError: If tasks or numbers of runs differ, scores are missing, not finite or
            only one a task, or the dense interquartile mean is below ``least``.

    Examples:
        >>> from offline_prune.evaluation.statistics import ratio_to_dense
        >>> dense = {"hopper": [1.0, 1.0, 1.0]}
        >>> ratio_to_dense({"hopper": [0.99, 1.0, 1.01]}, dense).verdict
        'retained'
        >>> ratio_to_dense({"hopper": [0.49, 0.5, 0.51]}, dense).verdict
        'not retained'
    """
    ours, theirs = runs_of_both(pruned, dense, paired=True)
    least, bar = finite_number("least", least), finite_number("bar", bar)
    below = float(iqm(np.concatenate(list(theirs.values()))))
    if below < least:
        raise InputError(
            f"The dense runs' interquartile mean is {below:.3f}, less than {least}: a ratio"
            " to it means nothing. Give normalised scores of tasks that the dense agent"
            " learns."
        )
    indices = {task: np.arange(len(runs), dtype=np.float64) for task, runs in ours.items()}

    def statistic(parts: list[Floats]) -> Floats:
        drawn = [part.astype(np.intp) for part in parts]
        above, below = (
            iqm(np.concatenate([side[t][i] for t, i in zip(side, drawn, strict=True)], -1))
            for side in (ours, theirs)
        )
        # A resample of failures alone must not divide by next to nothing either.
        return np.asarray(above / np.maximum(below, least))

    return estimate(indices, statistic, level, n_resamples, seed, bar=bar)
