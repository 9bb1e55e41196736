"""What a policy does on recorded observations, asked without disturbing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.agents.build import check_fits
from offline_prune.agents.sequences import is_sequence_model
from offline_prune.base.module_modes import preserved_modes
from offline_prune.base.random_state import seeded_random_state
from offline_prune.data import Dataset
from offline_prune.errors import AlgorithmError

__all__ = [
    "check_policy",
    "check_single_steps",
    "greedy_actions",
    "mean_by_episode",
    "observation_blocks",
    "undisturbed",
]

_AT_ONCE = 1024  # observations of one prediction


def check_policy(algo: Any, data: Dataset) -> None:
    """Refuse what does not act on single observations of these data.

    Args:
        algo: A built d3rlpy algorithm that learns from transitions.
        data: The data.

    Raises:
        AlgorithmError: If it is not built, is a sequence model, was made for other data, or
            has a scaler that was never fitted.
    """
    check_single_steps(algo)
    if getattr(algo, "impl", None) is None or not hasattr(algo, "get_action_type"):
        raise AlgorithmError(
            "Expected a built d3rlpy algorithm, such as result.algo, not"
            f" {type(algo).__name__}{' before it is built' if hasattr(algo, 'impl') else ''}."
        )
    check_fits(algo, data)
    for name in ("observation_scaler", "action_scaler"):
        scaler = getattr(algo.config, name)
        if scaler is not None and not scaler.built:
            raise AlgorithmError(
                f"The {name} of this {type(algo).__name__}, a {type(scaler).__name__}, was never"
                " fitted to data: its policy cannot act. Train it, or give the scaler its numbers."
            )


def check_single_steps(algo: Any) -> None:
    """Refuse what acts by more than the observation before it.

    Raises:
        AlgorithmError: If it is a sequence model.
    """
    if is_sequence_model(algo):
        raise AlgorithmError(
            f"{type(algo).__name__} acts by what it has seen and done before; off-policy"
            " evaluation needs a policy of single observations. Evaluate it in an environment."
        )


@contextmanager
def undisturbed(algo: Any, seed: int) -> Iterator[None]:
    """Leave an algorithm's module modes and the global random states as they were.

    d3rlpy switches modules to evaluation whenever they predict, and some policies (BCQ)
    draw noise then.

    Args:
        algo: A built d3rlpy algorithm.
        seed: Of numpy and torch inside.
    """
    tops = algo.impl.modules.get_torch_modules().values()
    with preserved_modes(*tops), seeded_random_state(seed):
        yield


def observation_blocks(data: Dataset, rows: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Observations of some transitions, a block at a time.

    Args:
        data: The data.
        rows: (n,) numbers of the transitions.

    Yields:
        (block, *observation shape), float32 or uint8.
    """
    for start in range(0, len(rows), _AT_ONCE):
        yield data.buffer.observations_at(data.buffer.rows[rows[start : start + _AT_ONCE]])


def greedy_actions(algo: Any, data: Dataset) -> NDArray[Any]:
    """The actions of a policy on all observations of a dataset.

    Args:
        algo: What :func:`check_policy` lets pass; left as it is.
        data: N transitions.

    Returns:
        (N, action size) in the data's units, or (N,) numbers of discrete actions. Policies
        that draw noise draw the same one at every call.
    """
    with undisturbed(algo, 0):
        blocks = observation_blocks(data, np.arange(len(data)))
        return np.concatenate([algo.predict(block) for block in blocks])


def mean_by_episode(values: NDArray[np.float64], data: Dataset) -> NDArray[np.float64]:
    """Mean over the steps of every episode.

    Args:
        values: (N,) one a transition.
        data: N transitions in E episodes.

    Returns:
        (E,).
    """
    sums = np.add.reduceat(values, data.starts)
    means: NDArray[np.float64] = sums / np.diff(data.ends, prepend=0)
    return means
