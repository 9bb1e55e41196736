"""Statistics of a dataset's observations, a block at a time: the whole is never copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_prune.data import Dataset

__all__ = ["mean_and_std", "minimum_and_maximum"]

_NUMBERS = 2**20  # of a block: 8 MiB in float64


def mean_and_std(data: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the transitions' observations, entry by entry.

    Formulas: ``μ = Σ x / N`` and ``σ = sqrt(Σ (x − μ)² / N)``, in two passes, summed in
    float64: what numpy computes of the whole array, up to the order of the sums.

    Args:
        data: N transitions.

    Returns:
        μ and σ, each of the observation's shape.
    """
    shape, n = data.picking.stacked(data.frames.shape[1:]), len(data)
    mean, variance = np.zeros(shape), np.zeros(shape)
    for block in _blocks(data):
        mean += block.sum(axis=0, dtype=np.float64)
    mean /= n
    for block in _blocks(data):
        deviations = block - mean
        variance += np.square(deviations, out=deviations).sum(axis=0)
    return mean, np.sqrt(variance / n)


def minimum_and_maximum(data: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and greatest value of the transitions' observations, entry by entry.

    Args:
        data: Its transitions.

    Returns:
        Both of the observation's shape and dtype.
    """
    ends = [(block.min(axis=0), block.max(axis=0)) for block in _blocks(data)]
    low, high = zip(*ends, strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _blocks(data: Dataset) -> Iterator[NDArray[Any]]:
    buffer = data.buffer
    length = max(1, _NUMBERS // (data.picking.frames * data.frames[0].size))
    for start in range(0, len(buffer.rows), length):
        yield buffer.observations_at(buffer.rows[start : start + length])
