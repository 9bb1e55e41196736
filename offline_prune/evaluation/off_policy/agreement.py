"""How far apart do two policies act?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.data import Dataset
from offline_prune.evaluation.off_policy.policy import (
    check_policy,
    greedy_actions,
    mean_by_episode,
)

__all__ = ["Disagreement", "disagreement", "distance_from_data"]


@dataclass(frozen=True)
class Disagreement:
    """How far apart two policies act on recorded observations.

    Attributes:
        value: Mean over episodes; every episode counts alike.
        values: Mean over the steps of each episode; for a bootstrap over episodes.
        unit: What is averaged.

    Examples:
        >>> from offline_prune.evaluation.off_policy import Disagreement
        >>> apart = Disagreement(value=0.25, values=(0.0, 0.5), unit="share of the steps")
        >>> f"{apart.value} ({apart.unit})"
        '0.25 (share of the steps)'
    """

    value: float
    values: tuple[float, ...]
    unit: str


def disagreement(ours: Any, theirs: Any, held_out: Dataset) -> Disagreement:
    """Compare the greedy actions of two policies.

    Formulas: continuous ``mean_d ((a_d − b_d) / range_d)²``, discrete ``[a ≠ b]``, averaged
    over steps, then over episodes. ``range_d`` is the distance of the action space's bounds,
    of the data's least and greatest action where it has none, and 1 where these are equal.

    Args:
        ours: A built d3rlpy algorithm; left as it is.
        theirs: Another one for the same data.
        held_out: N observations in E episodes.

    Returns:
        The mean and the E parts: 0 where both act alike, 1 where all actions differ, or
        differ by their whole range.

    Raises:
        AlgorithmError: If one is not a policy of single observations of these data.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import disagreement, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> other, _ = prune(rest, "bc", sparsity=0.5, algo_params=small, seed=1)
        >>> disagreement(agent.algo, agent.algo, held_out).value
        0.0
        >>> disagreement(agent.algo, other.algo, held_out).value > 0
        True
    """
    for algo in (ours, theirs):
        check_policy(algo, held_out)
    return _apart(greedy_actions(ours, held_out), greedy_actions(theirs, held_out), held_out)


def distance_from_data(algo: Any, held_out: Dataset) -> Disagreement:
    """Compare the greedy actions of a policy with the recorded ones: :func:`disagreement`.

    Args:
        algo: A built d3rlpy algorithm; left as it is.
        held_out: N observations in E episodes.

    Returns:
        The mean and the E parts; for discrete actions 1 − d3rlpy's
        ``DiscreteActionMatchEvaluator``.

    Raises:
        AlgorithmError: If it is not a policy of single observations of these data.

    Examples:
        >>> from offline_prune import load_dataset, prune
        >>> from offline_prune.evaluation.off_policy import distance_from_data, split_episodes
        >>> data = load_dataset("pendulum/mixture-v0")
        >>> rest, held_out = split_episodes(data, 0.2, seed=0)
        >>> small = {"hidden_units": [16, 16]}
        >>> agent, _ = prune(rest, "bc", sparsity=0.5, algo_params=small)
        >>> distance = distance_from_data(agent.algo, held_out)
        >>> 0 <= distance.value <= 1, len(distance.values)
        (True, 30)
    """
    check_policy(algo, held_out)
    recorded = held_out.actions
    if held_out.metadata.action_kind == "discrete":
        recorded = recorded[:, 0]
    return _apart(greedy_actions(algo, held_out), recorded, held_out)


def _apart(a: NDArray[Any], b: NDArray[Any], held_out: Dataset) -> Disagreement:
    if held_out.metadata.action_kind == "discrete":
        apart, unit = (a != b).astype(np.float64), "fraction of the actions that differ"
    else:
        apart = (((a.astype(np.float64) - b) / _ranges(held_out)) ** 2).mean(axis=1)
        unit = "squared difference in units of the action's range"
    values = mean_by_episode(apart, held_out)
    return Disagreement(float(values.mean()), tuple(values.tolist()), unit)


def _ranges(data: Dataset) -> NDArray[np.float64]:
    """(action size,) what a component of an action can differ by."""
    found = np.ptp(data.actions.astype(np.float64), axis=0)
    low, high = data.metadata.action_low, data.metadata.action_high
    if low is not None and high is not None:
        bounds = high.astype(np.float64) - low
        found = np.where(np.isfinite(bounds), bounds, found)
    return np.where(found > 0, found, 1.0)
