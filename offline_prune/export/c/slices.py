"""Kept weights of a linear layer as slices of rows, and an order of units that fills them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.compaction import fill_layer

__all__ = ["SLICE", "Slices", "longest_rows_first", "slices", "whole_slices"]

SLICE = 8
"""Rows of a slice. Their kept weights lie side by side, so that one load takes as many
values of as many sums: what a single observation costs is the number of loads."""


@dataclass(frozen=True)
class Slices:
    """The kept weights of a matrix, :data:`SLICE` rows at a time.

    Attributes:
        lengths: (⌈rows / SLICE⌉,): kept weights of the longest row of each slice.
        values: (Σ lengths, SLICE) float32: place k of a slice holds the k-th kept weight
            of each of its rows, 0 where a row has no more.
        columns: The same shape: the column of each, 0 where a row has no more.
    """

    lengths: NDArray[np.int64]
    values: Tensor
    columns: NDArray[np.int64]


def slices(weight: Tensor) -> Slices:
    """Cut a matrix into slices; the last one is filled up with empty rows.

    Args:
        weight: (rows, columns); its zeros are left out.
    """
    n_rows, n_columns = weight.shape
    padded = weight.new_zeros(whole_slices(n_rows), n_columns)
    padded[:n_rows] = weight
    cut = padded.view(-1, SLICE, n_columns)
    lengths = (cut != 0).sum(dim=2).amax(dim=1)
    values, columns = [], []
    for rows, length in zip(cut, lengths.tolist(), strict=True):
        # Stable: kept columns first, in order.
        first = (rows == 0).to(torch.uint8).argsort(dim=1, stable=True)[:, :length]
        value = rows.gather(1, first)
        values.append(value.T)
        columns.append(first.where(value != 0, 0).T)
    return Slices(lengths.numpy(), torch.cat(values), torch.cat(columns).numpy())


def whole_slices(n_rows: int) -> int:
    """Rows of the slices that hold so many."""
    return -(-n_rows // SLICE) * SLICE


def longest_rows_first(
    layers: Sequence[nn.Module], unitwise: Callable[[nn.Module], bool]
) -> list[nn.Module]:
    """Number hidden units anew, those that read most first: rows of a slice are alike then.

    The network computes the same: the columns of the next layer follow.

    Args:
        layers: One after another; they stay as they are. Units between two linear layers
            with nothing but unit-wise modules between them move.
        unitwise: Whether a module computes unit by unit, all of them alike.
    """
    ordered = list(layers)
    linear = [i for i, layer in enumerate(ordered) if type(layer) is nn.Linear]
    for place, after in pairwise(linear):
        layer, reader = ordered[place], ordered[after]
        assert isinstance(layer, nn.Linear)
        assert isinstance(reader, nn.Linear)
        if all(unitwise(module) for module in ordered[place + 1 : after]):
            order = layer.weight.count_nonzero(dim=1).argsort(descending=True, stable=True)
            bias = None if layer.bias is None else layer.bias[order]
            ordered[place] = _linear(layer.weight[order], bias)
            ordered[after] = _linear(reader.weight[:, order], reader.bias)
    return ordered


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(1, 1, device="meta")
    fill_layer(layer, weight.detach(), None if bias is None else bias.detach())
    return layer
