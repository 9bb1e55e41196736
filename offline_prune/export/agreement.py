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

__all__ = ["TOLERANCES", "Agreement", "check_agreement"]

TOLERANCES = {"float32": 1e-5, "float16": 0.01, "int8": 0.2}
"""Type of the weights → largest difference of an action, relative to the largest action, 1 at
least; of discrete actions, of what the two that differ score, relative to the largest score."""


@dataclass(frozen=True)
class Agreement:
    """How well a written file agrees with its algorithm.

    Attributes:
        largest_difference: Of continuous actions, ``max |a' − a|``; 0 for discrete ones.
        mean_difference: The mean of the same.
        n_ties: Discrete actions that differ where two score the same, up to rounding.
    """

    largest_difference: float
    mean_difference: float
    n_ties: int


def check_agreement(
    run: Runner,
    expected: NDArray[Any],
    source: Source,
    observations: NDArray[Any],
    dtype: str = "float32",
) -> Agreement:
    """Run a written file on a batch and on its first row alone; compare.

    Args:
        run: Runs the file.
        expected: What ``source.predict`` returned for the observations.
        source: What the file was written from; its policy tells ties from errors.
        observations: (B, *observation shape) float32.
        dtype: Of the weights, one of :data:`TOLERANCES`.

    Returns:
        How well they agree.

    Raises:
        ExportError: If continuous actions differ by more than is allowed,
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
        return Agreement(0.0, 0.0, _check_numbers(found, expected, source, observations, dtype))
    differences = np.abs(found.astype(np.float64) - expected)
    largest = float(differences.max())
    allowed = TOLERANCES[dtype] * max(1.0, float(np.abs(expected).max()))
    if not largest <= allowed:  # a NaN is no agreement
        raise ExportError(
            f"The written file's actions differ from {source.reference} by up to {largest:.3g};"
            f" {allowed:.3g} is allowed. Nothing was left on disk. Check that the"
            f" observations are in the range the policy was trained on{_coarse(dtype)}."
        )
    return Agreement(largest, float(differences.mean()), 0)


def _coarse(dtype: str) -> str:
    """What else may be done, to be added to a sentence."""
    finer = {"int8": '"float16"', "float16": '"float32"'}
    return f", or take dtype={finer[dtype]}" if dtype in finer else ""


def _check_numbers(
    found: NDArray[Any],
    expected: NDArray[Any],
    source: Source,
    observations: NDArray[Any],
    dtype: str,
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
    ties = policy.rule.decides_alike(outputs, first, second, TOLERANCES[dtype]).numpy()
    if not bool(np.all(ties & inside[other])):
        raise ExportError(
            f"The written file chooses another action than {source.reference} on"
            f" {int((~ties).sum())} of {len(observations)} observations, and not for a"
            f" tie. Nothing was left on disk{_coarse(dtype)}."
        )
    return int(ties.sum())
