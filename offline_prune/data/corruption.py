"""Datasets that say nothing about their task, for controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.data.dataset import Dataset

__all__ = ["CORRUPTIONS"]


def _shuffled(field: str, data: Dataset, seed: int) -> Dataset:
    order = np.random.default_rng(seed).permutation(len(data))
    return replace(data, final_actions=None, **{field: getattr(data, field)[order]})


def _noise(data: Dataset, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    return replace(
        data,
        frames=_like(data.frames, rng),
        actions=_like(data.actions, rng),
        rewards=_like(data.rewards, rng),
        final_actions=None,
    )


def _like(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Noise of the same shape, type and scale a column."""
    if np.issubdtype(values.dtype, np.integer):
        high = int(values.max()) + 1
        return rng.integers(0, high, values.shape).astype(values.dtype)
    mean, std = values.mean(axis=0), values.std(axis=0)
    low, high = values.min(axis=0), values.max(axis=0)
    noise = np.clip(rng.normal(size=values.shape) * std + mean, low, high)
    found: NDArray[Any] = noise.astype(values.dtype)
    return found


CORRUPTIONS: dict[str, Callable[[Dataset, int], Dataset]] = {
    "actions": partial(_shuffled, "actions"),
    "rewards": partial(_shuffled, "rewards"),
    "noise": _noise,
}
"""Name → function of a dataset and a seed to the corrupted dataset.

``actions``, ``rewards``: shuffled over the transitions; ``noise``: observations,
actions and rewards normal with each column's mean and deviation, within its range
(uniform where they are whole numbers).
"""
