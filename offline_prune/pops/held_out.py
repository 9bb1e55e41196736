"""Hold episodes of a dataset out."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from offline_prune.data import Dataset
from offline_prune.errors import InputError

__all__ = ["split_episodes"]


def split_episodes(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into whole episodes to learn from and whole episodes to judge by.

    Args:
        data: The dataset.
        fraction: Of the episodes to hold out; at least one is, and one is left.
        seed: Which episodes.

    Returns:
        The rest and the held-out episodes, both in the order of the dataset.

    Raises:
        InputError: If there is only one episode.
    """
    episodes = len(data.ends)
    if episodes < 2:
        raise InputError(
            "The agreement of student and teacher is measured on held-out episodes, and this"
            " dataset has one episode. Pass gate='environment', or a gate of your own."
        )
    count = min(episodes - 1, max(1, round(fraction * episodes)))
    order = np.random.default_rng(seed).permutation(episodes)
    return _picked(data, np.sort(order[count:])), _picked(data, np.sort(order[:count]))


def _picked(data: Dataset, episodes: NDArray[np.int64]) -> Dataset:
    starts = np.concatenate([[0], data.ends[:-1]])
    steps = [np.arange(starts[k], data.ends[k]) for k in episodes]
    # An episode of T steps has T + 1 frames.
    frames = [np.arange(starts[k] + k, data.ends[k] + k + 1) for k in episodes]
    rows = np.concatenate(steps)
    return dataclasses.replace(
        data,
        frames=data.frames[np.concatenate(frames)],
        actions=data.actions[rows],
        rewards=data.rewards[rows],
        terminals=data.terminals[rows],
        timeouts=data.timeouts[rows],
        ends=np.cumsum([len(part) for part in steps]),
        final_actions=None if data.final_actions is None else data.final_actions[episodes],
    )
