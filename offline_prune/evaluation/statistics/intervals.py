"""Intervals by the stratified bootstrap, and what one says of "retained"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import stats

from offline_prune.base.arguments import check_seed, finite_number, shown, whole_number
from offline_prune.base.memory import check_room
from offline_prune.errors import InputError
from offline_prune.evaluation.statistics.scores import Floats

__all__ = [
    "RETAINED",
    "Estimate",
    "Verdict",
    "bootstrap",
    "estimate",
    "half_width",
    "student_quantile",
]

RETAINED = 0.97
"""Least lower bound of the ratio to dense that counts as "retained"; declared beforehand.

Examples:
    >>> from offline_prune.evaluation.statistics import RETAINED, Estimate
    >>> Estimate(value=0.99, low=0.975, high=1.01).low >= RETAINED
    True
"""

Verdict: TypeAlias = Literal["retained", "not retained", "undecided"]
"""What an interval says of the ratio to dense.

Examples:
    >>> from offline_prune.evaluation.statistics import Estimate, Verdict
    >>> verdict: Verdict = Estimate(value=0.95, low=0.90, high=1.00).verdict
    >>> verdict
    'undecided'
"""

_AT_ONCE = 2**22  # numbers that one batch of resamples may hold


@dataclass(frozen=True)
class Estimate:
    """A number and its bootstrap interval.

    Attributes:
        value: Of the runs as they are.
        low: Lower end of the interval.
        high: Upper end.
        level: Of the interval, e.g. .95.
        error: Standard error, e.
        seeds: Of the smallest task, n.
        degrees: Degrees of freedom of t.
        bar: What a ratio's interval is held against.

    Examples:
        >>> from offline_prune.evaluation.statistics import Estimate
        >>> Estimate(value=0.99, low=0.98, high=1.00).verdict
        'retained'
        >>> Estimate(value=0.50, low=0.45, high=0.55).verdict
        'not retained'
        >>> Estimate(value=0.98, low=0.96, high=1.00, bar=0.95).verdict
        'retained'
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    error: float = 0.0
    seeds: int = 0
    degrees: int = 0
    bar: float = RETAINED

    @property
    def retained(self) -> bool:
        """Whether a ratio to dense counts as retained: ``low >= bar``."""
        return self.low >= self.bar

    @property
    def verdict(self) -> Verdict:
        """What a ratio to dense says of the bar.

        Returns:
            ``"retained"`` if the whole interval lies at or above it, ``"not retained"`` if
            below, else ``"undecided"``.
        """
        if self.retained:
            return "retained"
        return "not retained" if self.high < self.bar else "undecided"

    @property
    def p_value(self) -> float:
        """How often a ratio that equals the bar would seem as far from it, with this error.

        Formula: ``P(|T| > |value − bar| / e)`` with T of Student's distribution: below
        ``1 − level`` where the bar lies outside the interval.
        """
        if not self.error:
            return float(self.value == self.bar)
        distance = abs(self.value - self.bar)
        return float(2.0 * stats.t.sf(distance / self.error, self.degrees))

    @property
    def power(self) -> float:
        """How often a method that equals dense is called retained, with this error.

        Formula: ``P(T > t − (1 − bar) / e)`` with T of Student's distribution.
        """
        if not self.error:
            return 1.0
        t = student_quantile(self.level, self.degrees)
        return float(stats.t.sf(t - (1.0 - self.bar) / self.error, self.degrees))

    def recognised(self, power: float = 0.8) -> float:
        """The least true ratio that is called retained so often, with this error.

        Formula: ``bar + (t + t_power) · e`` with ``P(T < t_power) = power``: where
        :attr:`power` would say this much of a method of that ratio.

        Args:
            power: How often, in (0, 1).

        Returns:
            The ratio.

        Raises:
            InputError: If the power does not lie in (0, 1).
        """
        if not 0 < finite_number("power", power) < 1:
            raise InputError(f"A power lies in (0, 1), not {power!r}.")
        if not self.error:
            return self.bar
        t = student_quantile(self.level, self.degrees) + float(stats.t.ppf(power, self.degrees))
        return self.bar + t * self.error

    @property
    def seeds_to_decide(self) -> int | None:
        """Seeds a task with which this value would be decided, its runs spread as they are.

        Returns:
            The smallest number, at most 1 000; None where not even they would do.
        """
        distance = abs(self.value - self.bar)
        tasks = max(1, round(self.degrees / max(1, self.seeds - 1)))
        for n in range(max(2, self.seeds), 1001):
            error = self.error * np.sqrt(self.seeds / n)
            if student_quantile(self.level, tasks * (n - 1)) * error < distance:
                return n
        return None

    def __str__(self) -> str:
        """``value [low, high]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(
    samples: Mapping[Any, Floats],
    statistic: Callable[[list[Floats]], Floats],
    level: float,
    n_resamples: int,
    seed: int,
    *,
    widest: int | None = None,
    runs: Sequence[int] | None = None,
    bar: float = RETAINED,
) -> Estimate:
    """A number and its interval; :func:`bootstrap` says more of what it takes, and refuses.

    Args:
        samples: Task → runs.
        statistic: Of one array a task.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the draws.
        widest: For the size of a batch.
        runs: How many count, a task; those of the samples if not given.
        bar: What its verdict is about.
    """
    one, resampled = bootstrap(samples, statistic, n_resamples, seed, widest)
    runs = runs or [len(sample) for sample in samples.values()]
    value, width = float(one[0]), float(half_width(resampled, runs, level))
    error = float(_errors(resampled, runs))
    return Estimate(
        value, value - width, value + width, level, error, min(runs), _degrees(runs), bar
    )


def bootstrap(
    samples: Mapping[Any, Floats],
    statistic: Callable[[list[Floats]], Floats],
    n_resamples: int,
    seed: int,
    widest: int | None = None,
) -> tuple[Floats, Floats]:
    """The statistic of the runs as they are, and of each resample.

    ``scipy.stats.bootstrap`` draws each of its samples on its own: with one sample a
    task that is the stratified bootstrap.

    Args:
        samples: Task → runs.
        statistic: Of one array a task, (batch, runs) → (…, batch).
        n_resamples: Bootstrap samples.
        seed: Of the draws.
        widest: Numbers that one resample makes of one task, for the size of a batch.

    Returns:
        (…, 1) and (…, resamples).

    Raises:
        InputError: If a task has a single run, or a number is of the wrong kind.
    """
    n_resamples, seed = whole_number("n_resamples", n_resamples, 1), check_seed(seed)
    check_room(f"n_resamples={shown(n_resamples)}", 8 * n_resamples)
    for task, runs in samples.items():
        if len(runs) < 2:
            name = task if isinstance(task, str) else task[-1]
            raise InputError(f"{name!r} has one run: an interval needs at least two seeds a task.")
    one = statistic([runs[None] for runs in samples.values()])
    found = stats.bootstrap(
        tuple(samples.values()),
        lambda *parts, axis: statistic([np.atleast_2d(part) for part in parts]),
        n_resamples=n_resamples,
        batch=max(1, _AT_ONCE // (widest or sum(map(len, samples.values())))),
        vectorized=True,
        method="percentile",
        random_state=np.random.default_rng(seed),
    )
    return one, found.bootstrap_distribution


def half_width(resampled: Floats, runs: Sequence[int], level: float = 0.95) -> Floats:
    """Half of an interval: ``t · e``, as ``evaluation.statistics`` explains at its top.

    Args:
        resampled: The statistic of every resample, (…, resamples).
        runs: Number of runs of every task, two at least.
        level: Of the interval.

    Returns:
        (…): what lies between the value and either end.

    Raises:
        InputError: If the level does not lie in (0, 1).

    Examples:
        >>> import numpy as np
        >>> from offline_prune.evaluation.statistics import half_width
        >>> resampled = np.random.default_rng(0).normal(size=1_000)
        >>> bool(half_width(resampled, runs=[5]) > half_width(resampled, runs=[50]))
        True
    """
    if not 0 < finite_number("level", level) < 1:
        raise InputError(f"The level of an interval lies in (0, 1), not {level!r}.")
    width: Floats = student_quantile(level, _degrees(runs)) * _errors(resampled, runs)
    return width


def _errors(resampled: Floats, runs: Sequence[int]) -> Floats:
    """Standard errors, for the spread that few seeds hide from the bootstrap."""
    n = min(runs)
    found: Floats = np.std(resampled, axis=-1) * np.sqrt(n / (n - 1))
    return found


def _degrees(runs: Sequence[int]) -> int:
    return sum(n - 1 for n in runs)


def student_quantile(level: float, degrees: int) -> float:
    """Student's t, such that this part of the distribution lies between −t and t."""
    return float(stats.t.ppf(0.5 + level / 2, degrees))
