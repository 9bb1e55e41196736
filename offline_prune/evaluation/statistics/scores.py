"""Scores of runs as they are given: read, checked, put on one scale, averaged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from offline_prune.base.arguments import shown, whole_number
from offline_prune.errors import InputError

__all__ = [
    "Floats",
    "Scores",
    "final_window_mean",
    "iqm",
    "list_of_runs",
    "runs_by_task",
    "runs_of_both",
]

Scores: TypeAlias = Mapping[str, ArrayLike]
"""Task → score of each of its runs, (runs,).

Examples:
    >>> from offline_prune.evaluation.statistics import Scores, interquartile_mean
    >>> scores: Scores = {"hopper": [0.5, 0.6, 0.7], "walker": [0.8, 0.9, 1.0]}  # three seeds
    >>> interquartile_mean(scores).seeds
    3
"""

Floats: TypeAlias = NDArray[np.float64]
"""Numbers in double precision, of any shape."""


def final_window_mean(curve: ArrayLike, window: int) -> float:
    """Mean of the last evaluations of a run, not its best one.

    Args:
        curve: (points,) returns or scores in the order of training.
        window: How many of the last points; all where there are fewer.

    Returns:
        Their mean.

    Raises:
        InputError: If there is no point, or the window is not a whole number from 1 on.

    Examples:
        >>> from offline_prune.evaluation.statistics import final_window_mean
        >>> final_window_mean([0.0, 8.0, 2.0, 4.0], window=2)
        3.0
    """
    window = whole_number("window", window, 1)
    return float(list_of_runs("the curve", curve)[-window:].mean())


def iqm(values: ArrayLike, axis: int = -1) -> Any:
    """Interquartile mean: the mean of the middle half.

    The ``floor(n / 4)`` lowest and as many of the highest are left out, as
    ``scipy.stats.trim_mean(values, .25)`` does.

    Args:
        values: Numbers, any shape.
        axis: The axis to average over.

    Returns:
        The mean; an array where there are further axes.

    Raises:
        InputError: If there are no values, or no such axis.

    Examples:
        >>> from offline_prune.evaluation.statistics import iqm
        >>> float(iqm([0.0, 0.9, 1.0, 1.1, 9.0]))
        1.0
    """
    numbers = _numbers("values", values)
    axis = whole_number("axis", axis, -numbers.ndim)
    if axis >= numbers.ndim or numbers.size == 0:
        raise InputError(
            f"The interquartile mean is one of an axis of numbers, not of axis {axis} of an"
            f" array of shape {numbers.shape}."
        )
    return stats.trim_mean(numbers, 0.25, axis=axis)


def list_of_runs(what: str, values: ArrayLike) -> Floats:
    """Finite numbers of any kind as an array.

    Args:
        what: They are, for the message.
        values: At least one.

    Returns:
        (runs,).

    Raises:
        InputError: If they are anything else.
    """
    runs = _numbers(what, values)
    if runs.ndim != 1 or len(runs) == 0 or not np.isfinite(runs).all():
        raise InputError(
            f"Expected a list of finite numbers for {what}, not {shown(values)}. Leave runs that"
            " failed or were not evaluated out."
        )
    return runs


def runs_by_task(scores: Scores) -> dict[str, Floats]:
    """Scores, checked.

    Args:
        scores: Task → runs.

    Returns:
        Task → (runs,).

    Raises:
        InputError: If there are none, or they are no finite numbers.
    """
    if not isinstance(scores, Mapping) or not scores:
        raise InputError(
            f"There are no scores in {shown(scores)}: expected task → scores of its runs."
        )
    return {task: list_of_runs(f"the runs of {task!r}", runs) for task, runs in scores.items()}


def runs_of_both(
    ours: Scores, theirs: Scores, *, paired: bool
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Scores of two sides, checked, tasks in the same order.

    Args:
        ours: Task → runs.
        theirs: The same tasks → runs.
        paired: Whether runs of the same place are of one seed.

    Returns:
        Task → (runs,), of both.

    Raises:
        InputError: If the tasks differ, or numbers of runs that are paired.
    """
    x, y = runs_by_task(ours), runs_by_task(theirs)
    if set(x) != set(y):
        raise InputError(f"Both sides must have the same tasks, not {sorted(x)} and {sorted(y)}.")
    for task, runs in x.items():
        if paired and len(runs) != len(y[task]):
            raise InputError(
                f"{task!r} has {len(runs)} pruned and {len(y[task])} dense runs: a pair"
                " is two runs of one seed."
            )
    return x, {task: y[task] for task in x}


def _numbers(what: str, values: ArrayLike) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"Expected numbers for {what}, not {shown(values)}.") from error
