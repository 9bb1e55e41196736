"""How large a difference is, beside how sure it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from offline_prune.errors import InputError
from offline_prune.evaluation.statistics.scores import list_of_runs

__all__ = ["hedges_g"]


def hedges_g(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Difference of two means in standard deviations of a run.

    Formula: ``g = J · (mean(ours) − mean(theirs)) / s`` with s² the pooled variance
    ``((n − 1) s₁² + (m − 1) s₂²) / ν``, ``ν = n + m − 2``, and ``J = 1 − 3 / (4ν − 1)``, which
    takes out most of what Cohen's d is too large by when runs are few.

    Args:
        ours: (n,) scores, one a run; two at least.
        theirs: (m,) scores of the other side; two at least.

    Returns:
        g: below 0 where ours are worse; infinite where runs of both sides do not vary at
        all and differ.

    Raises:
        InputError: If a side has fewer than two runs, or numbers are not finite.

    References:
        Hedges 1981, Distribution theory for Glass's estimator of effect size and related
        estimators, Journal of Educational Statistics 6.

    Examples:
        >>> from offline_prune.evaluation.statistics import hedges_g
        >>> round(hedges_g([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]), 2)
        -1.6
    """
    x, y = list_of_runs("our runs", ours), list_of_runs("their runs", theirs)
    if min(len(x), len(y)) < 2:
        raise InputError(
            f"An effect size needs two runs a side, not {len(x)} and {len(y)}: a single run says"
            " nothing of how much runs differ."
        )
    freedom = len(x) + len(y) - 2
    difference = float(x.mean() - y.mean())
    squares = float(((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum())
    if squares == 0.0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return (1.0 - 3.0 / (4.0 * freedom - 1.0)) * difference / float(np.sqrt(squares / freedom))
