"""Which unit of a sparse network reads which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Wiring"]


@dataclass(frozen=True)
class Wiring:
    """Which unit reads which, all layers of a network numbered through.

    Attributes:
        inputs: (I,) columns of the input that are read; they are units 0 … I − 1.
        indptr: (U − I + 1,) where the weights of each further unit start.
        sources: (K,) the unit that each weight reads.
        readers_indptr: (U + 1,) where the readers of each unit start.
        readers: (K,) the units that read it.
        readers_order: (K,) the weight between the two.
        n_outputs: Units at the end that are outputs: no ReLU follows them.
    """

    inputs: NDArray[np.int64]
    indptr: NDArray[np.int64]
    sources: NDArray[np.int32]
    readers_indptr: NDArray[np.int64]
    readers: NDArray[np.int32]
    readers_order: NDArray[np.int64]
    n_outputs: int

    @classmethod
    def of(cls, layers: Sequence[Tensor]) -> Wiring:
        """Wire layers that follow one another.

        Args:
            layers: (units, columns) boolean masks, true = kept. The columns of the
                first are inputs of the network, of any other the units of the layer
                before.

        Returns:
            The wiring. Weights are numbered layer by layer, row by row.
        """
        inputs = layers[0].any(dim=0).nonzero().flatten().numpy()
        columns, sources, indptr = np.full(layers[0].shape[1], -1), [], [np.zeros(1, np.int64)]
        columns[inputs] = np.arange(len(inputs))
        first, n_weights = len(inputs), 0
        for layer in layers:
            rows, read = (index.numpy() for index in layer.nonzero(as_tuple=True))
            sources.append(columns[read])
            indptr.append(n_weights + np.cumsum(np.bincount(rows, minlength=len(layer))))
            n_weights += len(rows)
            columns = np.arange(first, first + len(layer))
            first += len(layer)
        source = np.concatenate(sources).astype(np.int32)
        starts = np.concatenate(indptr)
        order = np.argsort(source, kind="stable")
        unit = np.repeat(np.arange(len(starts) - 1), np.diff(starts)) + len(inputs)
        return cls(
            inputs=inputs,
            indptr=starts,
            sources=source,
            readers_indptr=np.searchsorted(source[order], np.arange(first + 1)),
            readers=unit[order].astype(np.int32),
            readers_order=order,
            n_outputs=len(layers[-1]),
        )

    @property
    def n_units(self) -> int:
        """U: inputs that are read, hidden units and outputs."""
        return len(self.readers_indptr) - 1
