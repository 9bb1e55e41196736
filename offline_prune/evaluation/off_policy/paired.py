"""How much more is one policy worth than another, on the same initial states?"""

from __future__ import annotations

import numpy as np

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.evaluation.off_policy.fitted_q import FittedQ
from offline_prune.evaluation.statistics.intervals import Estimate, estimate

__all__ = ["paired_difference"]


def paired_difference(
    ours: FittedQ,
    theirs: FittedQ,
    *,
    scale: float = 1.0,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """The difference of two values, with an interval over the held-out episodes.

    Formula: the mean over episodes of ``(V(s₀) − V'(s₀)) / scale``. Episodes are drawn with
    replacement, pairs together, so what all initial states share cancels. The interval says how
    much the choice of episodes matters; it does not know of the errors that both Q functions
    may share, nor of those of one fit: repeat it with other seeds for these.

    Args:
        ours: One fitted Q evaluation.
        theirs: Another one, of the same seed, gamma, number of steps and episodes.
        scale: What to divide by, such as the ``range`` of the behaviour's values.
        level: Of the interval.
        n_resamples: Bootstrap samples.
        seed: Of the bootstrap.

    Returns:
        The difference and its interval, as everywhere in ``evaluation.statistics``; its
        ``seeds`` are the episodes.

    Raises:
        InputError: If the two cannot be paired, there are fewer than two episodes, or a
            number is of the wrong kind.

    References:
        Hesterberg 2015, What teachers should know about the bootstrap, arXiv 1411.5279.
    """
    for name in ("seed", "gamma", "n_steps", "states"):
        a, b = getattr(ours, name), getattr(theirs, name)
        if a != b:
            what = "initial states" if name == "states" else name
            raise InputError(
                f"Two values are paired if they differ in the policy alone; these differ in the"
                f" {what}: {a!r} and {b!r}. Evaluate both with the same, on the same episodes."
            )
    if len(ours.values) < 2:
        raise InputError(
            "An interval over held-out episodes needs two at least; there is one. Hold more out."
        )
    if finite_number("scale", scale) <= 0.0:
        raise InputError(
            f"scale is a number above 0, not {scale!r}. Where all episodes of the behaviour earned"
            " the same their range is 0: leave it out."
        )
    differences = (np.asarray(ours.values) - np.asarray(theirs.values)) / scale
    return estimate(
        {"held-out episodes": differences},
        lambda parts: np.asarray(parts[0].mean(axis=-1)),
        level,
        n_resamples,
        seed,
    )
