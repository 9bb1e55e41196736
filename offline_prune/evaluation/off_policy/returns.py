"""What the data earned from every step on, discounted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import finite_number
from offline_prune.data import Dataset
from offline_prune.errors import InputError

__all__ = ["check_gamma", "returns_to_go"]


def check_gamma(gamma: float) -> float:
    """Return a discount as Python's ``float``.

    Args:
        gamma: A number in [0, 1].

    Raises:
        InputError: If it is anything else.
    """
    if not 0.0 <= finite_number("gamma", gamma) <= 1.0:
        raise InputError(f"gamma, the discount, is a number in [0, 1], not {gamma!r}.")
    return float(gamma)


def returns_to_go(data: Dataset, gamma: float) -> NDArray[np.float64]:
    """Discounted return of every step up to the end of its episode.

    Formula: ``G_t = Σ_{k ≥ 0} γ^k r_{t + k}``.

    Args:
        data: N transitions.
        gamma: γ.

    Returns:
        (N,) in the data's unit of reward. Where an episode was cut off, what would have
        followed is not in it.
    """
    found = data.rewards.astype(np.float64)
    lengths = np.diff(data.ends, prepend=0)
    for back in range(1, int(lengths.max())):  # all episodes at once, from their last steps
        steps = data.ends[lengths > back] - 1 - back
        found[steps] += gamma * found[steps + 1]
    return found
