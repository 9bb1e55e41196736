"""How often a run of one side beats one of the other."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics.intervals import Estimate, student_quantile
from offline_prune.evaluation.statistics.scores import Floats, Scores, runs_of_both

__all__ = ["probability_of_improvement"]

_NEXT = 1e-9  # beside the value, where the variance of 0 and 1 is 0 too


def probability_of_improvement(ours: Scores, theirs: Scores, *, level: float = 0.95) -> Estimate:
    """Probability that a run of ours beats a run of theirs on a random task.

    Formula: ``θ = mean over tasks of P(X > Y) + ½ P(X = Y)``, over all pairs of runs of the
    task: the Mann-Whitney U divided by the number of pairs.

    The interval of a task with n and m runs has the ends θ' that solve ``|θ − θ'| = t · v(θ')^½``
    with ``v(θ) = θ (1 − θ) (1 + ((n + m) / 2 − 1) ((1 − θ) / (2 − θ) + θ / (1 + θ))) / (n m)``:
    Newcombe's method 5, with Student's t of as many degrees of freedom as there are runs beyond
    one a side and task. Of K tasks ``low = θ − (Σ (θₖ − lowₖ)²)^½ / K``, the upper end likewise.
    Where every run of ours beats all of theirs a bootstrap would be sure; five runs a side
    are not: ``1.00 [.56, 1.00]``.

    Args:
        ours: Task → runs of X, two at least.
        theirs: The same tasks → runs of Y; as many runs or not.
        level: Of the interval.

    Returns:
        The estimate, in [0, 1]; its ``error`` is half the interval over t.

    Raises:
        InputError: If the tasks differ, scores are missing, not finite, or only one
            a task, or the level does not lie in (0, 1).

    References:
        Newcombe 2006, Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic, part 2, Statistics in Medicine 25. Zou, Donner 2008, Construction of
        confidence limits about effect measures, Statistics in Medicine 27 (several tasks).

    Examples:
        >>> from offline_prune.evaluation.statistics import probability_of_improvement
        >>> found = probability_of_improvement({"hopper": [2.0, 3.0]}, {"hopper": [1.0, 2.0]})
        >>> found.value
        0.875
        >>> five = range(5)
        >>> better = [10.0 + n for n in five]
        >>> print(probability_of_improvement({"hopper": better}, {"hopper": [*map(float, five)]}))
        1.000 [0.562, 1.000]
    """
    x, y = runs_of_both(ours, theirs, paired=False)
    if not 0 < finite_number("level", level) < 1:
        raise InputError(f"The level of an interval lies in (0, 1), not {level!r}.")
    for task in x:
        if min(len(x[task]), len(y[task])) < 2:
            raise InputError(f"{task!r} has one run: an interval needs at least two seeds a task.")
    sizes = [(len(x[task]), len(y[task])) for task in x]
    degrees = sum(n + m - 2 for n, m in sizes)
    t = student_quantile(level, degrees)
    wins = [_wins(x[task], y[task]) for task in x]
    below = [w - _low(w, n, m, t) for w, (n, m) in zip(wins, sizes, strict=True)]
    above = [1.0 - w - _low(1.0 - w, n, m, t) for w, (n, m) in zip(wins, sizes, strict=True)]
    value = math.fsum(wins) / len(wins)
    low, high = value - math.hypot(*below) / len(wins), value + math.hypot(*above) / len(wins)
    low, high = max(0.0, low), min(1.0, high)
    return Estimate(
        value, low, high, level, (high - low) / (2.0 * t), min(map(min, sizes)), degrees
    )


def _wins(x: Floats, y: Floats) -> float:
    """``P(X > Y) + ½ P(X = Y)`` of all pairs."""
    a, b = x[:, None], y[None, :]
    return float(np.mean(a > b) + np.mean(a == b) / 2)


def _low(value: float, n: int, m: int, t: float) -> float:
    """The lower end for a task; the upper one is that of 1 − value, from 1."""
    if value <= _NEXT:
        return 0.0

    def beyond(theta: float) -> float:
        """Distance to the value, less t standard errors: above 0 outside the interval."""
        shape = (1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta)
        variance = theta * (1.0 - theta) * (1.0 + ((n + m) / 2.0 - 1.0) * shape) / (n * m)
        return value - theta - t * math.sqrt(variance)

    return float(optimize.brentq(beyond, 0.0, value - _NEXT))
