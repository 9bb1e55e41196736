"""Do an algorithm's policies reach the actions of the data?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from d3rlpy.preprocessing import MinMaxActionScaler
from numpy.typing import NDArray

from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError

__all__ = ["ActionRangeWarning", "action_scaler", "check_action_range"]

TOLERANCE = 1e-3
"""How far beyond its bounds rounding may take an action, as a part of their distance."""


class ActionRangeWarning(UserWarning):
    """Actions of the data lie where the action space says that there are none."""


def action_scaler(data: Dataset) -> MinMaxActionScaler | None:
    """Choose bounds for policies that put out actions in [−1, 1].

    Args:
        data: The dataset.

    Returns:
        The bounds of the action space, None if they are [−1, 1]; those of the data where the
        space has none or the data leave them, with an :class:`ActionRangeWarning`. None for
        discrete actions.
    """
    low, high = data.metadata.action_low, data.metadata.action_high
    if low is None or high is None:
        return None
    least, most = data.actions.min(axis=0), data.actions.max(axis=0)
    slack = TOLERANCE * (high - low)
    if not np.isfinite([low, high]).all():
        why = "the action space has no bounds"
    elif (least < low - slack).any() or (most > high + slack).any():
        why = "the data leave the bounds of the action space"
    elif np.allclose(low, -1.0) and np.allclose(high, 1.0):
        return None
    else:
        return MinMaxActionScaler(*_with_room(low, high))
    if (least >= -1.0 - 2 * TOLERANCE).all() and (most <= 1.0 + 2 * TOLERANCE).all():
        return None  # where d3rlpy's policies act anyway
    least, most = _with_room(least, most)
    warnings.warn(
        f"Policies will act within the range of the data, {_shown(least, most)}: {why}. Pass"
        " algo_params={'action_scaler': MinMaxActionScaler(minimum=…, maximum=…)} for other"
        " bounds.",
        ActionRangeWarning,
        stacklevel=2,
    )
    return MinMaxActionScaler(minimum=least, maximum=most)


def check_action_range(algo: Any, data: Dataset) -> None:
    """Refuse an algorithm whose policies cannot put out what the data hold.

    Args:
        algo: A d3rlpy algorithm with its scalers fitted.
        data: What it will train on.

    Raises:
        AlgorithmError: If scaled actions of the data lie outside [−1, 1].
    """
    if data.metadata.action_kind == "discrete":
        return
    scaler = algo.config.action_scaler
    bounds = np.stack([data.actions.min(axis=0), data.actions.max(axis=0)])
    scaled = bounds if scaler is None else scaler.transform_numpy(bounds)
    if np.abs(scaled).max() > 1.0 + 2 * TOLERANCE:
        given = "it has no action_scaler" if scaler is None else f"its {type(scaler).__name__}"
        raise AlgorithmError(
            f"The data hold actions in {_shown(*bounds)}, but the policies of this"
            f" {type(algo).__name__} put out actions in [-1, 1] and {given}"
            + ("" if scaler is None else f" takes the data to {_shown(*scaled)}")
            + ". Expected scaled actions in [-1, 1]: give its config"
            " action_scaler=d3rlpy.preprocessing.MinMaxActionScaler(), which takes the bounds"
            " of the data."
        )


def _with_room(low: NDArray[Any], high: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bounds that differ, so that a component which never changes can be scaled at all."""
    same = low == high
    return np.where(same, low - 1.0, low), np.where(same, high + 1.0, high)


def _shown(low: NDArray[Any], high: NDArray[Any]) -> str:
    """Bounds in a few words: of every component if they are few, else of all together."""
    if len(low) > 4:
        return f"[{low.min():.4g}, {high.max():.4g}]"
    return " × ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(low, high, strict=True))
