"""The mean learning curve of several seeds, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.evaluation.statistics import half_width, iqm
from offline_prune.reporting.tasks import Group, Task

__all__ = ["Curve", "mean_curve"]

_RESAMPLES = 2_000


@dataclass(frozen=True)
class Curve:
    """A learning curve over several seeds.

    Attributes:
        steps: Gradient steps, (P,).
        values: Interquartile mean at each, (P,).
        low: Lower ends of the pointwise 95 % intervals, (P,); None with one seed.
        high: Upper ends.
    """

    steps: tuple[int, ...]
    values: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None


def mean_curve(task: Task, group: Group) -> Curve | None:
    """Average the learning curves of a group.

    The bootstrap draws whole runs: a resample takes the same seeds at every point.

    Args:
        task: It says what is compared, scores or returns.
        group: The runs.

    Returns:
        The curve at the steps that all runs share; None if there are none.
    """
    found: list[dict[int, float]] = []
    for run in group.runs:
        pairs = [(p.step, p.score if task.scored else p.mean_return) for p in run.curve]
        found.append({step: value for step, value in pairs if value is not None})
    found = [curve for curve in found if curve]
    steps = sorted(set.intersection(*map(set, found))) if found else []
    if not steps:
        return None
    runs = np.array([[curve[step] for step in steps] for curve in found])
    values: Any = iqm(runs, axis=0)
    if len(runs) < 2:
        return Curve(tuple(steps), values, None, None)
    drawn = np.random.default_rng(0).integers(len(runs), size=(_RESAMPLES, len(runs)))
    width = half_width(iqm(runs[drawn], axis=1).T, [len(runs)])
    return Curve(tuple(steps), values, values - width, values + width)
