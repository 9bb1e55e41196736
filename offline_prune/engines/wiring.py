"""Which unit of a sparse network reads which, and what else happens to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "ACTIVATIONS",
    "LINEAR",
    "MAP",
    "NORM",
    "Linear",
    "Norm",
    "Step",
    "Wiring",
    "relu_layers",
]

NONE, RELU, TANH, SWISH, GELU = range(5)

ACTIVATIONS = {"none": NONE, "relu": RELU, "tanh": TANH, "swish": SWISH, "gelu": GELU}
"""Name of an activation → its number in the kernels."""

NEEDS_INPUT = ("swish", "gelu")
"""Activations whose slope cannot be told from what they put out."""

LINEAR, MAP, NORM = range(3)
"""Kinds of steps in the kernels: sums over weights, an activation, a normalisation."""


@dataclass(frozen=True)
class Linear:
    """A sparse linear layer and the activation behind it: ``σ(W h + b + h')``.

    Attributes:
        mask: (units, columns) boolean, true = kept.
        reads: The step whose outputs h are its columns; −1: the network's inputs.
        activation: A name of :data:`ACTIVATIONS`.
        adds: The step whose outputs h' are added; None for none.
        has_bias: Whether there is a b.
    """

    mask: Tensor
    reads: int
    activation: str = "none"
    adds: int | None = None
    has_bias: bool = True

    @property
    def size(self) -> int:
        """Units."""
        return len(self.mask)

    @property
    def n_further(self) -> int:
        """Parameters that are no weights."""
        return self.size if self.has_bias else 0


@dataclass(frozen=True)
class Norm:
    """Layer normalisation of all units of a step.

    Attributes:
        reads: The step.
        size: Its units.
        eps: Added to the variance.
        affine: Whether a scale and a shift a unit follow.
    """

    reads: int
    size: int
    eps: float = 1e-5
    affine: bool = True

    @property
    def n_further(self) -> int:
        """Parameters that are no weights."""
        return 2 * self.size if self.affine else 0


Step = Linear | Norm


def relu_layers(masks: Sequence[Tensor]) -> list[Step]:
    """Linear layers that follow one another, with ReLU between.

    Args:
        masks: (units, columns) of each, true = kept.

    Returns:
        The steps.
    """
    last = len(masks) - 1
    return [Linear(m, i - 1, "none" if i == last else "relu") for i, m in enumerate(masks)]


@dataclass(frozen=True)
class Wiring:
    """Which unit reads which, all steps of a network numbered through.

    Attributes:
        inputs: (I,) columns of the input that are read; they are units 0 … I − 1.
        steps: (S, 8) for each step of the kernels its kind, first unit, number of units,
            first unit that it takes as it is, first unit that it adds (−1: none), number
            of the activation, where its biases or scales start in the parameters (−1:
            none), and whether gradients reach it otherwise than along weights.
        eps: (S,) ε of normalisations, 0 elsewhere.
        indptr: (U − I + 1,) where the weights of each further unit start.
        sources: (K,) the unit that each weight reads.
        readers_indptr: (U + 1,) where the readers of each unit start.
        readers: (K,) the units that read it.
        readers_order: (K,) the weight between the two.
        n_outputs: Units at the end that are outputs.
        has_deposits: Whether gradients reach any unit otherwise than along weights.
    """

    inputs: NDArray[np.int64]
    steps: NDArray[np.int64]
    eps: NDArray[np.float64]
    indptr: NDArray[np.int64]
    sources: NDArray[np.int32]
    readers_indptr: NDArray[np.int64]
    readers: NDArray[np.int32]
    readers_order: NDArray[np.int64]
    n_outputs: int
    has_deposits: bool

    @classmethod
    def of(cls, steps: Sequence[Step]) -> Wiring:
        """Wire steps.

        Args:
            steps: In order; the last is linear, without an activation that needs its input.

        Returns:
            The wiring. Weights are numbered step by step, row by row.
        """
        linear = [step for step in steps if isinstance(step, Linear)]
        read = [step.mask for step in linear if step.reads < 0]
        inputs = np.logical_or.reduce([m.any(dim=0).numpy() for m in read]).nonzero()[0]
        columns = np.full(read[0].shape[1], -1)
        columns[inputs] = np.arange(len(inputs))
        further = sum(int(step.mask.sum()) for step in linear)
        unit = len(inputs)
        sources: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.int64]] = []  # weights of every unit behind the inputs
        rows: list[list[int]] = []
        outputs: list[int] = []  # first unit of what each step puts out

        def add(kind: int, size: int, source: int, added: int, activation: str, own: int) -> int:
            nonlocal unit
            rows.append([kind, unit, size, source, added, ACTIVATIONS[activation], own, 0])
            unit += size
            return unit - size

        eps: list[float] = []
        for step in steps:
            parameter = further if step.n_further else -1
            further += step.n_further
            if isinstance(step, Norm):
                outputs.append(add(NORM, step.size, outputs[step.reads], -1, "none", parameter))
                unit += 2  # mean and scale
                counts.append(np.zeros(step.size + 2, np.int64))
                eps.append(step.eps)
                continue
            units, places = (index.numpy() for index in step.mask.nonzero(as_tuple=True))
            sources.append(columns[places] if step.reads < 0 else outputs[step.reads] + places)
            counts.append(np.bincount(units, minlength=step.size))
            kept = step.activation in NEEDS_INPUT
            added = -1 if step.adds is None else outputs[step.adds]
            first = add(
                LINEAR, step.size, -1, added, "none" if kept else step.activation, parameter
            )
            eps.append(0.0)
            if kept:
                first = add(MAP, step.size, first, -1, step.activation, -1)
                counts.append(np.zeros(step.size, np.int64))
                eps.append(0.0)
            outputs.append(first)
        taken = {row[3] for row in rows} | {row[4] for row in rows}
        for row in rows:
            row[7] = int(row[1] in taken)
        source = np.concatenate(sources).astype(np.int32)
        every = np.concatenate(counts)
        order = np.argsort(source, kind="stable")
        reader = np.repeat(np.arange(len(every)), every) + len(inputs)
        return cls(
            inputs=inputs,
            steps=np.array(rows),
            eps=np.array(eps),
            indptr=np.concatenate([np.zeros(1, np.int64), np.cumsum(every)]),
            sources=source,
            readers_indptr=np.searchsorted(source[order], np.arange(unit + 1)),
            readers=reader[order].astype(np.int32),
            readers_order=order,
            n_outputs=rows[-1][2],
            has_deposits=any(row[7] for row in rows),
        )

    @property
    def n_units(self) -> int:
        """U: inputs that are read, units of all steps, and what normalisations keep."""
        return len(self.readers_indptr) - 1
