"""Statistics of runs: few seeds, several tasks, and how sure one may be.

Scores are given as task → runs: one number a seed, the same scale in every task
(normalised scores). Intervals are ``value ± t · e``: e is the standard error by the
stratified bootstrap (seeds are drawn with replacement within each task, tasks stay as they
are), times ``sqrt(n / (n − 1))`` for the n seeds of the smallest task, of which the
bootstrap sees too little spread; t is Student's quantile of as many degrees of freedom as
there are seeds beyond one a task. Percentile intervals of five seeds cover 90 % where they
promise 95; these 94 to 97 (``tests/evaluation/test_coverage.py``).

References:
    Agarwal, Schwarzer, Castro, Courville, Bellemare 2021, Deep reinforcement learning at
    the edge of the statistical precipice, arXiv 2108.13264. Hesterberg 2015, What teachers
    should know about the bootstrap, arXiv 1411.5279 (why small samples need t and the factor).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from offline_prune.base.arguments import check_seed, finite_number, shown, whole_number
from offline_prune.base.memory import check_room
from offline_prune.errors import InputError

__all__ = [
    "LEAST_DENSE_SCORE",
    "RETAINED",
    "Estimate",
    "Profile",
    "Scores",
    "Verdict",
    "final_window_mean",
    "half_width",
    "interquartile_mean",
    "iqm",
    "normalized_scores",
    "paired_ratios",
    "performance_profile",
    "probability_of_improvement",
    "ratio_to_dense",
]

RETAINED = 0.97
"""Least lower bound of the ratio to dense that counts as "retained"; declared beforehand."""

LEAST_DENSE_SCORE = 0.1
"""Least normalised score that a ratio is divided by."""

Verdict: TypeAlias = Literal["retained", "not retained", "undecided"]

Scores: TypeAlias = Mapping[str, ArrayLike]
"""Task → score of each of its runs, (runs,)."""

_Floats: TypeAlias = NDArray[np.float64]
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
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    error: float = 0.0
    seeds: int = 0
    degrees: int = 0

    @property
    def retained(self) -> bool:
        """Whether a ratio to dense counts as retained: ``low >= .97`` (:data:`RETAINED`)."""
        return self.low >= RETAINED

    @property
    def verdict(self) -> Verdict:
        """What a ratio to dense says of :data:`RETAINED`.

        Returns:
            ``"retained"`` if the whole interval lies at or above it, ``"not retained"`` if
            below, else ``"undecided"``.
        """
        if self.retained:
            return "retained"
        return "not retained" if self.high < RETAINED else "undecided"

    @property
    def power(self) -> float:
        """How often a method that equals dense is called retained, with this error.

        Formula: ``P(T > t − (1 − .97) / e)`` with T of Student's distribution.
        """
        if not self.error:
            return 1.0
        t = _quantile(self.level, self.degrees)
        return float(stats.t.sf(t - (1.0 - RETAINED) / self.error, self.degrees))

    @property
    def seeds_to_decide(self) -> int | None:
        """Seeds a task with which this value would be decided, its runs spread as they are.

        Returns:
            The smallest number, at most 1 000; None where not even they would do.
        """
        distance = abs(self.value - RETAINED)
        tasks = max(1, round(self.degrees / max(1, self.seeds - 1)))
        for n in range(max(2, self.seeds), 1001):
            error = self.error * np.sqrt(self.seeds / n)
            if _quantile(self.level, tasks * (n - 1)) * error < distance:
                return n
        return None

    def __str__(self) -> str:
        """``value [low, high]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Profile:
    """A performance profile with its pointwise intervals.

    Attributes:
        thresholds: τ, (T,).
        values: Fraction of the runs above each τ, mean over tasks, (T,).
        low: Lower ends, (T,).
        high: Upper ends, (T,).
        level: Of the intervals.
    """

    thresholds: _Floats
    values: _Floats
    low: _Floats
    high: _Floats
    level: float = 0.95


def normalized_scores(returns: ArrayLike, reference_min: float, reference_max: float) -> _Floats:
    """Put returns on the scale of two reference policies.

    Formula: ``(return − reference_min) / (reference_max − reference_min)``, as Minari and
    D4RL do: 0 is a random policy, 1 the reference expert.

    Args:
        returns: Undiscounted returns, any shape.
        reference_min: Mean return of the random policy.
        reference_max: Mean return of the reference expert.

    Returns:
        The scores, of the same shape.

    Raises:
        InputError: If the references are the same or not finite, or returns no numbers.
    """
    low = finite_number("reference_min", reference_min)
    width = finite_number("reference_max", reference_max) - low
    if width == 0 or not np.isfinite(width):
        raise InputError(
            "Reference returns must be two different finite numbers, not"
            f" {reference_min!r} and {reference_max!r}."
        )
    scores: _Floats = (_numbers("returns", returns) - low) / width
    return scores


def final_window_mean(curve: ArrayLike, window: int) -> float:
    """Mean of the last evaluations of a run, not its best one.

    Args:
        curve: (points,) returns or scores in the order of training.
        window: How many of the last points; all where there are fewer.

    Returns:
        Their mean.

    Raises:
        InputError: If there is no point, or the window is not a whole number from 1 on.
    """
    window = whole_number("window", window, 1)
    return float(_runs("the curve", curve)[-window:].mean())


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
    """
    numbers = _numbers("values", values)
    axis = whole_number("axis", axis, -numbers.ndim)
    if axis >= numbers.ndim or numbers.size == 0:
        raise InputError(
            f"The interquartile mean is one of an axis of numbers, not of axis {axis} of an"
            f" array of shape {numbers.shape}."
        )
    return stats.trim_mean(numbers, 0.25, axis=axis)


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
    """
    tasks = _tasks(scores)
    estimates = _bootstrap(tasks, lambda parts: iqm(np.concatenate(parts, -1)), n_resamples, seed)
    return _estimate(*estimates, level, tasks)


def probability_of_improvement(
    ours: Scores,
    theirs: Scores,
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Probability that a run of ours beats a run of theirs on a random task.

    Formula: mean over tasks of ``P(X > Y) + ½ P(X = Y)``, over all pairs of runs of the
    task: the Mann-Whitney U divided by the number of pairs.

    Args:
        ours: Task → runs of X.
        theirs: The same tasks → runs of Y; as many runs or not.
        level: Of the interval.
        n_resamples: Bootstrap samples; X and Y are drawn independently.
        seed: Of the bootstrap.

    Returns:
        The estimate, in [0, 1].

    Raises:
        InputError: If the tasks differ, or scores are missing, not finite, or only one
            a task.
    """
    x, y = _tasks(ours), _tasks(theirs)
    _check_same_tasks(x, y)
    pairs = {("x", task): runs for task, runs in x.items()}
    pairs |= {("y", task): y[task] for task in x}

    def statistic(parts: list[_Floats]) -> _Floats:
        wins = [_wins(a, b) for a, b in zip(parts[: len(x)], parts[len(x) :], strict=True)]
        return np.asarray(np.mean(wins, axis=0))

    widest = max(len(x[task]) * len(y[task]) for task in x)
    resampled = _bootstrap(pairs, statistic, n_resamples, seed, widest)
    return _estimate(*resampled, level, pairs, within=(0.0, 1.0))


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
    """
    tau = _runs("the thresholds", thresholds)
    tasks = _tasks(scores)

    def statistic(parts: list[_Floats]) -> _Floats:
        above = [(runs[None] > tau[:, None, None]).mean(-1) for runs in parts]
        return np.asarray(np.mean(above, axis=0))

    widest = len(tau) * max(map(len, tasks.values()))
    values, resampled = _bootstrap(tasks, statistic, n_resamples, seed, widest)
    value = values[..., 0]
    width = half_width(resampled, [len(runs) for runs in tasks.values()], level)
    low, high = np.clip(value - width, 0, 1), np.clip(value + width, 0, 1)
    return Profile(tau, value, low, high, level)


def paired_ratios(
    pruned: Scores, dense: Scores, *, least: float = LEAST_DENSE_SCORE
) -> dict[str, _Floats]:
    """Each pruned run's score over that of the dense run of its seed.

    Args:
        pruned: Task → normalised scores, in the order of the seeds.
        dense: The same tasks and seeds.
        least: Least dense score that may be divided by.

    Returns:
        Task → ratios, (runs,).

    Raises:
        InputError: If tasks or numbers of runs differ, or a dense score is below
            ``least``: a ratio to next to nothing says nothing.
    """
    ours, theirs = _pairs(pruned, dense)
    least = finite_number("least", least)
    for task, runs in theirs.items():
        if runs.min() < least:
            raise InputError(
                f"A dense run of {task!r} scores {runs.min():.3f}, less than {least}: a"
                " ratio to it means nothing. Give normalised scores of a task that the"
                " dense agent learns, or compare aggregates with ratio_to_dense."
            )
    return {task: ours[task] / theirs[task] for task in ours}


def ratio_to_dense(
    pruned: Scores,
    dense: Scores,
    *,
    least: float = LEAST_DENSE_SCORE,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """How much of the dense agent's score is left: a ratio of interquartile means.

    Formula: ``IQM(pruned) / IQM(dense)``. The bootstrap draws pairs: a pruned run and
    the dense run of its seed come and go together. :attr:`Estimate.retained` says whether
    the lower bound is at least :data:`RETAINED`.

    Args:
        pruned: Task → normalised scores, in the order of the seeds.
        dense: The same tasks and seeds.
        least: Least interquartile mean of dense scores that may be divided by.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The estimate.

    Raises:
        InputError: If tasks or numbers of runs differ, scores are missing, not finite or
            only one a task, or the dense interquartile mean is below ``least``.
    """
    ours, theirs = _pairs(pruned, dense)
    least = finite_number("least", least)
    below = float(iqm(np.concatenate(list(theirs.values()))))
    if below < least:
        raise InputError(
            f"The dense runs' interquartile mean is {below:.3f}, less than {least}: a ratio"
            " to it means nothing. Give normalised scores of tasks that the dense agent"
            " learns."
        )
    indices = {task: np.arange(len(runs), dtype=np.float64) for task, runs in ours.items()}

    def statistic(parts: list[_Floats]) -> _Floats:
        drawn = [part.astype(np.intp) for part in parts]
        above, below = (
            iqm(np.concatenate([side[t][i] for t, i in zip(side, drawn, strict=True)], -1))
            for side in (ours, theirs)
        )
        # A resample of failures alone must not divide by next to nothing either.
        return np.asarray(above / np.maximum(below, least))

    return _estimate(*_bootstrap(indices, statistic, n_resamples, seed), level, indices)


def _wins(x: _Floats, y: _Floats) -> _Floats:
    """``P(X > Y) + ½ P(X = Y)`` over the last axes, (…, n) and (…, m) → (…)."""
    a, b = x[..., :, None], y[..., None, :]
    return np.asarray((a > b).mean((-2, -1)) + (a == b).mean((-2, -1)) / 2)


def _bootstrap(
    samples: Mapping[Any, _Floats],
    statistic: Callable[[list[_Floats]], _Floats],
    n_resamples: int,
    seed: int,
    widest: int | None = None,
) -> tuple[_Floats, _Floats]:
    """The statistic of the runs as they are, and of each resample.

    ``scipy.stats.bootstrap`` draws each of its samples on its own: with one sample a
    task that is the stratified bootstrap.

    Args:
        samples: Task → runs.
        statistic: Of one array a task, (batch, runs) → (…, batch).
        n_resamples: Bootstrap samples.
        seed: Of the draws.
        widest: Numbers that one resample makes of one task, for the size of a batch.
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


def half_width(resampled: _Floats, runs: Sequence[int], level: float = 0.95) -> _Floats:
    """Half of an interval: ``t · e``, as the top of this module has it.

    Args:
        resampled: The statistic of every resample, (…, resamples).
        runs: Number of runs of every task, two at least.
        level: Of the interval.

    Returns:
        (…): what lies between the value and either end.

    Raises:
        InputError: If the level does not lie in (0, 1).
    """
    if not 0 < finite_number("level", level) < 1:
        raise InputError(f"The level of an interval lies in (0, 1), not {level!r}.")
    width: _Floats = _quantile(level, _degrees(runs)) * _errors(resampled, runs)
    return width


def _errors(resampled: _Floats, runs: Sequence[int]) -> _Floats:
    """Standard errors, for the spread that few seeds hide from the bootstrap."""
    n = min(runs)
    found: _Floats = np.std(resampled, axis=-1) * np.sqrt(n / (n - 1))
    return found


def _quantile(level: float, degrees: int) -> float:
    """Student's t, such that this part of the distribution lies between −t and t."""
    return float(stats.t.ppf(0.5 + level / 2, degrees))


def _degrees(runs: Sequence[int]) -> int:
    return sum(n - 1 for n in runs)


def _estimate(
    one: _Floats,
    resampled: _Floats,
    level: float,
    samples: Mapping[Any, _Floats],
    within: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    runs = [len(sample) for sample in samples.values()]
    value, width = float(one[0]), float(half_width(resampled, runs, level))
    low, high = (float(np.clip(x, *within)) for x in (value - width, value + width))
    error = float(_errors(resampled, runs))
    return Estimate(value, low, high, level, error, min(runs), _degrees(runs))


def _numbers(what: str, values: ArrayLike) -> _Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"Expected numbers for {what}, not {shown(values)}.") from error


def _runs(what: str, values: ArrayLike) -> _Floats:
    runs = _numbers(what, values)
    if runs.ndim != 1 or len(runs) == 0 or not np.isfinite(runs).all():
        raise InputError(
            f"Expected a list of finite numbers for {what}, not {shown(values)}. Leave runs that"
            " failed or were not evaluated out."
        )
    return runs


def _tasks(scores: Scores) -> dict[str, _Floats]:
    if not isinstance(scores, Mapping) or not scores:
        raise InputError(
            f"There are no scores in {shown(scores)}: expected task → scores of its runs."
        )
    return {task: _runs(f"the runs of {task!r}", runs) for task, runs in scores.items()}


def _check_same_tasks(ours: Sequence[str] | Scores, theirs: Sequence[str] | Scores) -> None:
    if set(ours) != set(theirs):
        raise InputError(
            f"Both sides must have the same tasks, not {sorted(ours)} and {sorted(theirs)}."
        )


def _pairs(pruned: Scores, dense: Scores) -> tuple[dict[str, _Floats], dict[str, _Floats]]:
    ours, theirs = _tasks(pruned), _tasks(dense)
    _check_same_tasks(ours, theirs)
    for task, runs in ours.items():
        if len(runs) != len(theirs[task]):
            raise InputError(
                f"{task!r} has {len(runs)} pruned and {len(theirs[task])} dense runs: a pair"
                " is two runs of one seed."
            )
    return ours, {task: theirs[task] for task in ours}
