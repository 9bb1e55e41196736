"""An algorithm's scalers: fitted to stacks, and checked that they make finite numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from d3rlpy.preprocessing import MinMaxObservationScaler, StandardObservationScaler
from numpy.typing import NDArray

from offline_prune.agents.observation_statistics import mean_and_std, minimum_and_maximum
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError

__all__ = ["check_scalers", "fit_observation_scaler"]

_ROWS = 1024  # enough to see a column or a scale that divides by zero


def fit_observation_scaler(algo: Any, data: Dataset) -> None:
    """Fit an observation scaler of d3rlpy's to stacked frames; theirs know single ones alone.

    Args:
        algo: A d3rlpy algorithm.
        data: What it will train on; nothing is done where no frames are stacked.
    """
    scaler = algo.config.observation_scaler
    if data.picking.frames == 1 or scaler is None or scaler.built:
        return
    if type(scaler) is StandardObservationScaler:
        scaler.mean, scaler.std = mean_and_std(data)
    elif type(scaler) is MinMaxObservationScaler:
        scaler.minimum, scaler.maximum = minimum_and_maximum(data)


def check_scalers(algo: Any, data: Dataset) -> None:
    """Refuse scalers that divide by a spread the data do not have.

    Args:
        algo: A d3rlpy algorithm with its scalers fitted.
        data: What it will train on.

    Raises:
        AlgorithmError: If scaled observations, actions or rewards are not finite; names the
            scaler, and the columns.
    """
    rows = np.linspace(0, len(data) - 1, min(_ROWS, len(data)), dtype=np.int64)
    values: dict[str, Callable[[], NDArray[Any]]] = {
        "observation": lambda: data.buffer.observations_at(data.buffer.rows[rows]),
        "action": lambda: data.actions[rows],
        "reward": lambda: data.rewards[rows, None],
    }
    for what, sample in values.items():
        scaler = getattr(algo.config, f"{what}_scaler", None)
        if scaler is None or (what == "action" and data.metadata.action_kind == "discrete"):
            continue
        with np.errstate(all="ignore"):
            scaled = np.asarray(scaler.transform_numpy(sample()), dtype=np.float64)
        wrong = ~np.isfinite(scaled)
        if wrong.any():
            columns = np.flatnonzero(wrong.reshape(len(scaled), -1).any(axis=0)).tolist()
            where = f" in the columns {columns[:10]}" if what != "reward" else ""
            raise AlgorithmError(
                f"The {type(scaler).__name__} of this {type(algo).__name__} makes {what}s{where}"
                f" {scaled[wrong].flat[0]}: the data have no spread there to divide by. Expected"
                f" finite numbers: leave {what}_scaler out, name it ('min_max', 'standard': they"
                " leave such columns alone), or give it bounds that differ."
            )
