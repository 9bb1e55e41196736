"""Which episodes are held out, to judge by?"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from offline_prune.base.arguments import check_seed
from offline_prune.data import Dataset
from offline_prune.errors import DatasetError
from offline_prune.evaluation.plan import check_held_out

__all__ = ["split_episodes"]


def split_episodes(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Split a dataset into whole episodes to learn from and whole episodes to judge by.

    Split before anything is scored or trained: what judges must not have been learned from.

    Args:
        data: The dataset.
        fraction: Of the episodes to hold out, in (0, 1); at least one is, and one is left.
        seed: Which episodes.

    Returns:
        The rest and the held-out episodes, both in the order of the dataset. Their metadata
        count and average their own episodes.

    Raises:
        InputError: If the fraction is not in (0, 1), or the seed is none.
        DatasetError: If there is only one episode.

    Examples:
        >>> from offline_prune import load_dataset
        >>> from offline_prune.evaluation.off_policy import split_episodes
        >>> rest, held_out = split_episodes(load_dataset("pendulum/mixture-v0"), 0.2, seed=0)
        >>> rest.metadata.episodes, held_out.metadata.episodes
        (120, 30)
    """
    fraction = check_held_out(fraction)
    seed = check_seed(seed)
    episodes = len(data.ends)
    if episodes < 2:
        raise DatasetError(
            "Whole episodes are held out to judge by, and this dataset has one episode. Expected"
            " two at least: collect more, or judge by rollouts in an environment."
        )
    count = min(episodes - 1, max(1, round(fraction * episodes)))
    order = np.random.default_rng(seed).permutation(episodes)
    return _picked(data, np.sort(order[count:])), _picked(data, np.sort(order[:count]))


def _picked(data: Dataset, episodes: NDArray[np.int64]) -> Dataset:
    starts = data.starts
    steps = [np.arange(starts[k], data.ends[k]) for k in episodes]
    # An episode of T steps has T + 1 frames.
    frames = [np.arange(starts[k] + k, data.ends[k] + k + 1) for k in episodes]
    rows = np.concatenate(steps)
    lengths = [len(part) for part in steps]
    picked = dataclasses.replace(
        data,
        frames=data.frames[np.concatenate(frames)],
        actions=data.actions[rows],
        rewards=data.rewards[rows],
        terminals=data.terminals[rows],
        timeouts=data.timeouts[rows],
        ends=np.cumsum(lengths),
        final_actions=None if data.final_actions is None else data.final_actions[episodes],
    )
    returns = picked.episode_returns
    metadata = dataclasses.replace(
        data.metadata,
        episodes=len(lengths),
        steps=len(rows),
        mean_return=float(returns.mean()),
        std_return=float(returns.std()),
        longest_episode=max(lengths),
        best_return=float(returns.max()),
    )
    return dataclasses.replace(picked, metadata=metadata)
