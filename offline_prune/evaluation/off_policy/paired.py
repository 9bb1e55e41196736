"""How much more is one policy worth than another, on the same initial states?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy.fitted_q import FittedQ
from offline_prune.evaluation.statistics.intervals import Estimate, estimate
from offline_prune.evaluation.statistics.scores import Floats

__all__ = ["paired_difference"]


def paired_difference(
    ours: FittedQ | Sequence[FittedQ],
    theirs: FittedQ | Sequence[FittedQ],
    *,
    scale: float = 1.0,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The difference of two values, with an interval over held-out episodes and fits.

    Formula: the mean over fits and episodes of ``(V(s₀) − V'(s₀)) / scale``. Episodes are drawn
    with replacement, pairs together, so what all initial states share cancels; of several
    fits (seeds) these too, crossed with them. The degrees of freedom are those of the
    fewer. With a single fit the interval says how much the choice of episodes matters, and
    nothing of how another fit would have come out, which may be much more: fit several. No
    interval knows of errors that all fits share.

    Args:
        ours: Fitted Q evaluations of one policy, a seed each, or a single one.
        theirs: Of another one: the same seeds, gamma, numbers of steps and episodes.
        scale: What to divide by, such as the ``range`` of the behaviour's values.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The difference and its interval, as everywhere in ``evaluation.statistics``; its
        ``seeds`` are the episodes, or fits where there are fewer.

    Raises:
        InputError: If the two cannot be paired, there are fewer than two episodes, or a
            number is of the wrong kind.

    References:
        Hesterberg 2015, What teachers should know about the bootstrap, arXiv 1411.5279; Owen
        2007, The pigeonhole bootstrap, arXiv 0712.1111 (resampling of crossed samples).

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import (
        ...     fitted_q_evaluation,
        ...     paired_difference,
        ...     split_episodes,
        ... )
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> other, _ = prune(rest, "bc", sparsity=0.5, algo_params=small, seed=1)
        >>> ours, theirs = (
        ...     fitted_q_evaluation(who.algo, rest, held_out, n_steps=20, hidden_units=(16,))
        ...     for who in (agent, other)
        ... )
        >>> paired_difference(ours, theirs).seeds  # the held-out episodes
        30
    """
    a, b = ([one] if isinstance(one, FittedQ) else list(one) for one in (ours, theirs))
    _check_pairs(a, b)
    if finite_number("scale", scale) <= 0.0:
        raise InputError(
            f"scale is a number above 0, not {scale!r}. Where all episodes of the behaviour earned"
            " the same their range is 0: leave it out."
        )
    differences = np.array([np.subtract(x.values, y.values) for x, y in zip(a, b, strict=True)])
    differences /= scale
    fits, episodes = differences.shape
    numbers = {"held-out episodes": np.arange(float(episodes))}
    if fits > 1:
        numbers["fits"] = np.arange(float(fits))

    def mean(parts: list[Floats]) -> Floats:
        drawn, *of_fits = (part.astype(np.int64) for part in parts)
        fit = of_fits[0] if of_fits else np.zeros((1, 1), np.int64)
        return np.asarray(differences[fit[:, :, None], drawn[:, None, :]].mean(axis=(1, 2)))

    fewest = [min(map(len, numbers.values()))]
    widest = differences.size
    return estimate(numbers, mean, level, n_resamples, seed, widest=widest, runs=fewest)


def _check_pairs(ours: Sequence[FittedQ], theirs: Sequence[FittedQ]) -> None:
    """Refuse fits that differ in more than the policy, or too few of them."""
    if not ours or len(ours) != len(theirs):
        raise InputError(
            f"Fits are paired one by one; there are {len(ours)} and {len(theirs)}. Evaluate both"
            " policies with the same seeds, one at least."
        )
    fits = list(zip(ours, theirs, strict=True))
    across = [(one, ours[0]) for one in ours]
    same = ("gamma", "n_steps", "states")
    for name, pairs in (("seed", fits), *((name, fits + across) for name in same)):
        for one, other in pairs:
            a, b = getattr(one, name), getattr(other, name)
            if a != b:
                what = "initial states" if name == "states" else name
                raise InputError(
                    "Two values are paired if they differ in the policy alone; these differ in the"
                    f" {what}: {a!r} and {b!r}. Evaluate both with the same, on the same episodes."
                )
    if len(ours[0].values) < 2:
        raise InputError(
            "An interval over held-out episodes needs two at least; there is one. Hold more out."
        )
    if len({one.seed for one in ours}) < len(ours):
        raise InputError(
            "Several fits of one policy have a seed each; these share one. Fit again with another."
        )
