"""How a transition is made of an episode's steps: stacked frames, several steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SINGLE", "Picking", "discounted_returns"]

_NUMBERS = 2**20  # of a block: 8 MiB in float64


@dataclass(frozen=True)
class Picking:
    """How a transition is made of an episode's steps, as d3rlpy's transition pickers do.

    Attributes:
        frames: Frames that an observation is stacked of, the newest last, along the first
            axis; zeros stand for frames before an episode's first
            (``FrameStackTransitionPicker``).
        steps: Steps from an observation to the next, fewer at the end of an episode
            (``MultiStepTransitionPicker``).
        gamma: Discount of the rewards within these steps.
        final_known: Whether it is known what the environment showed after a termination;
            zeros where it is not, the whole stack.
    """

    frames: int = 1
    steps: int = 1
    gamma: float = 1.0
    final_known: bool = True

    def stacked(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of an observation, from that of a frame."""
        return (self.frames * shape[0], *shape[1:])


SINGLE = Picking()
"""A step a transition, a frame an observation."""


def discounted_returns(
    rewards: NDArray[np.float32], steps: NDArray[np.int64], gamma: float
) -> NDArray[np.float32]:
    """Returns over the next steps: ``Σ_{k < steps_i} γ^k r_{i + k}``.

    Args:
        rewards: (N,) float32.
        steps: (N,) how many of them, from 1 on.
        gamma: γ.

    Returns:
        (N,) float32, summed in float64 in the order that d3rlpy's picker sums in.
    """
    found = rewards.copy()
    for length in np.unique(steps[steps > 1]).tolist():
        factors = gamma ** np.arange(length)
        rows = np.flatnonzero(steps == length)
        for some in np.array_split(rows, 1 + len(rows) * length // _NUMBERS):
            found[some] = (rewards[some[:, None] + np.arange(length)] * factors).sum(axis=1)
    return found
