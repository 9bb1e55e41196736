"""Whether a written file computes what the algorithm does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from offline_prune.acting.rules import ArgmaxRule
from offline_prune.errors import ExportError
from offline_prune.export.source import Source
from offline_prune.export.written import Runner

__all__ = ["TOLERANCE", "Agreement", "check_agreement"]

TOLERANCE = 1e-5
"""Largest difference of an action, relative to the largest action, 1 at least."""


@dataclass(frozen=True)
class Agreement:
    """How well a written file agrees with its algorithm.

    Attributes:
        largest_difference: Of continuous actions, ``max |a' − a|``; 0 for discrete ones.
        n_ties: Discrete actions that differ where two score the same, up to rounding.
    """

    largest_difference: float
    n_ties: int


def check_agreement(
    run: Runner, expected: NDArray[Any], source: Source, observations: NDArray[Any]
) -> Agreement:
    """Run a written file on a batch and on its first row alone; compare.

    Args:
        run: Runs the file.
        expected: What ``source.predict`` returned for the observations.
        source: What the file was written from; its policy tells ties from errors.
        observations: (B, *observation shape) float32.

    Returns:
        How well they agree.

    Raises:
        ExportError: If continuous actions differ by more than :data:`TOLERANCE`,
            discrete ones where there is no tie, or an action is not finite.
    """
    found, single = run(observations), run(observations[:1])
    if found.shape != expected.shape or single.shape != expected[:1].shape:
        raise ExportError(
            f"The written file returns actions of the shapes {found.shape} and"
            f" {single.shape}; {expected.shape} and {expected[:1].shape} were expected."
            " Nothing was left on disk."
        )
    found = np.concatenate([found, single])
    expected = np.concatenate([expected, expected[:1]])
    if source.policy.discrete:
        return Agreement(0.0, _check_numbers(found, expected, source, observations))
    largest = float(np.abs(found.astype(np.float64) - expected).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if not largest <= allowed:  # a NaN is no agreement
        raise ExportError(
            f"The written file's actions differ from {source.reference} by up to {largest:.3g};"
            f" {allowed:.3g} is allowed. Nothing was left on disk. Check that the"
            " observations are in the range the policy was trained on."
        )
    return Agreement(largest, 0)


def _check_numbers(
    found: NDArray[Any],
    expected: NDArray[Any],
    source: Source,
    observations: NDArray[Any],
) -> int:
    policy = source.policy
    other = np.flatnonzero(found != expected)
    if not len(other):
        return 0
    inside = (found >= 0) & (found < policy.action_size)
    rows = np.concatenate([observations, observations[:1]])[other]
    with torch.no_grad():
        outputs = policy.outputs(torch.from_numpy(rows))
    first, second = (
        torch.from_numpy(np.where(inside, a, 0)[other]).long() for a in (found, expected)
    )
    assert isinstance(policy.rule, ArgmaxRule)
    ties = policy.rule.decides_alike(outputs, first, second, TOLERANCE).numpy()
    if not bool(np.all(ties & inside[other])):
        raise ExportError(
            f"The written file chooses another action than {source.reference} on"
            f" {int((~ties).sum())} of {len(observations)} observations, and not for a"
            " tie. Nothing was left on disk."
        )
    return int(ties.sum())
