"""Who acts in several environments at once: a policy, or a sequence model with its past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from offline_prune.agents.sequences import is_sequence_model
from offline_prune.data import DatasetMetadata
from offline_prune.errors import InputError

__all__ = ["Act", "chosen_target_return", "make_actors"]

Act = Callable[[Sequence[int], Sequence[Any], Sequence[float]], Sequence[Any]]
"""Numbers of the environments that still run, their observations and last rewards → actions."""


def chosen_target_return(
    algo: Any, metadata: DatasetMetadata, asked: float | None = None
) -> float | None:
    """Choose the return that a sequence model is told to reach.

    Args:
        algo: A d3rlpy algorithm.
        metadata: Of its dataset.
        asked: What was asked for.

    Returns:
        The return; the best one of the dataset where nothing is asked for. None for
        algorithms that are not told of any.

    Raises:
        InputError: If it is asked of such an algorithm, or the dataset's best is not known.
    """
    if not is_sequence_model(algo):
        if asked is not None:
            raise InputError(
                f"target_return={asked!r} is what a sequence model is told to reach, and"
                f" {type(algo).__name__} is none: leave it out."
            )
        return None
    chosen = metadata.best_return if asked is None else asked
    if chosen is None:
        raise InputError(
            f"{type(algo).__name__} is told which return to reach, and the best return of the"
            " dataset is not known: pass target_return=…."
        )
    return float(chosen)


def make_actors(algo: Any, count: int, target_return: float | None) -> Act:
    """Let an algorithm act in some environments that are stepped together.

    Args:
        algo: A built d3rlpy algorithm, or what has its ``predict``.
        count: How many environments there are, each at the start of an episode.
        target_return: What :func:`chosen_target_return` chose.

    Returns:
        One prediction for all of them; of a sequence model one for each, which remembers its
        own episode (d3rlpy's ``as_stateful_wrapper``).
    """
    if target_return is None:
        return lambda _, observations, __: algo.predict(np.stack(observations))
    actors = [algo.as_stateful_wrapper(target_return) for _ in range(count)]
    return lambda running, observations, rewards: [
        actors[i].predict(x, reward)
        for i, x, reward in zip(running, observations, rewards, strict=True)
    ]
