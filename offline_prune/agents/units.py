"""Units that leave whole: what each one reads and who reads it.

A unit of a hidden layer, or a channel of a convolution, owns a row of its own weight and
columns of the weights that read it. A :class:`UnitGraph` says so for all units of some
networks, whatever their wiring: stacks of layers, or layers that read all earlier ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain

__all__ = [
    "Reader",
    "Segment",
    "UnitGraph",
    "UnitLayer",
    "Units",
    "WeightOfUnits",
    "chain_readers",
    "chain_units",
    "merge_units",
    "without_layers",
]


@dataclass(frozen=True)
class UnitLayer:
    """A hidden layer whose units may leave.

    Attributes:
        name: Name of the weight whose rows the units are.
        size: Number of units.
    """

    name: str
    size: int


@dataclass(frozen=True)
class Segment:
    """Neighbouring columns of a weight that read the same layer.

    Attributes:
        layer: Number of the unit layer; None for inputs of the network.
        columns: How many; a multiple of the layer's size, a unit's columns side by side.
    """

    layer: int | None
    columns: int


@dataclass(frozen=True)
class WeightOfUnits:
    """A weight, seen as unit × unit.

    Attributes:
        name: Its name.
        shape: Its shape.
        rows: Number of the unit layer that its rows are; None for outputs.
        segments: What its columns read, in order.
    """

    name: str
    shape: tuple[int, ...]
    rows: int | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class UnitGraph:
    """Units and the weights between them.

    Attributes:
        layers: The unit layers.
        weights: Every weight that units own a part of.
    """

    layers: tuple[UnitLayer, ...]
    weights: tuple[WeightOfUnits, ...]

    @property
    def n_weights(self) -> int:
        """Number of weights while every unit is there."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    def expected_weights(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Expected number of weights when unit j is there with probability θ_j.

        Formula: ``P(θ) = Σ_W k_W · (Σ_{rows of W} θ) · (Σ_{columns of W} θ)``, with k_W
        the entries of a kernel and θ = 1 for inputs and outputs. Units are independent
        and none is both row and column of a weight, so P is multilinear in θ.

        Args:
            probabilities: θ of each layer, (size,).

        Returns:
            Scalar P(θ).
        """
        total = probabilities[0].new_zeros(())
        for weight in self.weights:
            rows, columns = self._sums(weight, probabilities)
            total = total + math.prod(weight.shape[2:]) * rows * columns
        return total

    def expected_weights_gradient(self, probabilities: Sequence[Tensor]) -> list[Tensor]:
        """``∂P/∂θ_j``: weights that come and go with unit j; exact, P being multilinear.

        Args:
            probabilities: θ of each layer, (size,).

        Returns:
            The derivative for each layer, (size,); equal for units of one layer.
        """
        costs = [p.new_zeros(()) for p in probabilities]
        for weight in self.weights:
            rows, columns = self._sums(weight, probabilities)
            kernel = math.prod(weight.shape[2:])
            if weight.rows is not None:
                costs[weight.rows] = costs[weight.rows] + kernel * columns
            for segment in weight.segments:
                if segment.layer is not None:
                    costs[segment.layer] = (
                        costs[segment.layer] + kernel * self._repeat(segment) * rows
                    )
        return [c.expand_as(p) for c, p in zip(costs, probabilities, strict=True)]

    def norms(self, values: Mapping[str, Tensor], order: int) -> list[Tensor]:
        """Norm of all weights that a unit owns: its rows, and the columns that read it.

        Formula: ``(Σ |w|^p)^(1/p)`` over them.

        Args:
            values: Weight name → value.
            order: p, 1 or 2.

        Returns:
            (size,) of each layer.
        """
        powers = {w.name: values[w.name].detach().abs() ** order for w in self.weights}
        return [total ** (1.0 / order) for total in self.owned_sums(powers)]

    def owned_sums(self, values: Mapping[str, Tensor]) -> list[Tensor]:
        """Sum of a number a weight over all weights that a unit owns: rows and columns.

        Args:
            values: Weight name → numbers of the weight's shape.

        Returns:
            (size,) of each layer.
        """
        like = values[self.weights[0].name]
        sums = [like.new_zeros(layer.size) for layer in self.layers]
        for weight in self.weights:
            numbers = values[weight.name]
            if weight.rows is not None:
                sums[weight.rows] += numbers.flatten(1).sum(dim=1)
            columns = numbers.transpose(0, 1).flatten(1).sum(dim=1)
            for layer, owned in self.owned_columns(weight, columns):
                sums[layer] += owned.sum(dim=1)
        return sums

    def columns(self, weight: WeightOfUnits, units: Sequence[Tensor]) -> Tensor:
        """Spread a number a unit over the columns of a weight that reads the units.

        Args:
            weight: A weight of this graph, or of another network that reads its units.
            units: (size,) of each layer, all of one type.

        Returns:
            (columns,); 1 for columns that read inputs of the network.
        """
        # A head alone has no units: it reads inputs, all of them there.
        like = units[0] if units else torch.ones(0, dtype=torch.bool)
        return torch.cat(
            [
                like.new_ones(segment.columns)
                if segment.layer is None
                else units[segment.layer].repeat_interleave(self._repeat(segment))
                for segment in weight.segments
            ]
        )

    def owned_columns(self, weight: WeightOfUnits, columns: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Cut a number a column of a weight into those of each unit that it reads.

        Args:
            weight: A weight of this graph.
            columns: (columns,).

        Yields:
            Number of a layer, and (size, columns a unit); once a segment.
        """
        parts = columns.split([segment.columns for segment in weight.segments])
        for segment, part in zip(weight.segments, parts, strict=True):
            if segment.layer is not None:
                yield segment.layer, part.reshape(-1, self._repeat(segment))

    def kept_weights(self, units: Sequence[Tensor]) -> dict[str, Tensor]:
        """Masks of the weights whose two units are both there.

        Args:
            units: (size,) boolean of each layer, true = there.

        Returns:
            Weight name → boolean mask of the weight's shape.
        """
        kept = {}
        for weight in self.weights:
            rows = torch.ones(weight.shape[0], dtype=torch.bool)
            if weight.rows is not None:
                rows = units[weight.rows].cpu()
            both = rows[:, None] & self.columns(weight, units).cpu()[None, :]
            ones = [1] * (len(weight.shape) - 2)
            kept[weight.name] = both.reshape(*both.shape, *ones).expand(weight.shape).clone()
        return kept

    def _repeat(self, segment: Segment) -> int:
        """Columns that a unit owns."""
        assert segment.layer is not None
        return segment.columns // self.layers[segment.layer].size

    def _sums(
        self, weight: WeightOfUnits, probabilities: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        one = probabilities[0].new_ones(())
        rows = one * weight.shape[0] if weight.rows is None else probabilities[weight.rows].sum()
        columns = one * 0
        for segment in weight.segments:
            if segment.layer is None:
                columns = columns + segment.columns
            else:
                columns = columns + self._repeat(segment) * probabilities[segment.layer].sum()
        return rows, columns


@dataclass(frozen=True)
class Reader:
    """A layer that reads units, and after them perhaps other inputs.

    Attributes:
        module: The layer.
        layer: Number of the unit layer that it reads.
        repeat: Columns that a unit owns.
    """

    module: Any
    layer: int
    repeat: int


@dataclass(frozen=True)
class Units:
    """Units of a network, and who reads them.

    Attributes:
        graph: The units.
        readers: The layers that read them, those of the target too; none where that is not known.
    """

    graph: UnitGraph
    readers: tuple[Reader, ...] = ()


def chain_readers(chain: Chain) -> tuple[Reader, ...]:
    """Who reads the units of :func:`chain_units`.

    Args:
        chain: The chain, or that of a target.

    Returns:
        Every layer behind the first.
    """
    return tuple(
        Reader(layer.module, number, stage.repeat)
        for number, stage in enumerate(chain.stages[1:])
        for layer in stage.layers
    )


def chain_units(chain: Chain) -> UnitGraph:
    """Units of a stack of layers: every hidden layer's.

    Args:
        chain: The chain.

    Returns:
        Its units; layer i is the chain's stage i.
    """
    layers: list[UnitLayer] = []
    weights: list[WeightOfUnits] = []
    for number, stage in enumerate(chain.stages):
        is_last = stage is chain.stages[-1]
        for layer in stage.layers:
            shape = tuple(layer.module.weight.shape)
            owned = layers[number - 1].size * stage.repeat if number else 0
            segments = (Segment(number - 1, owned), Segment(None, shape[1] - owned))
            kept = tuple(segment for segment in segments if segment.columns)
            weights.append(WeightOfUnits(layer.name, shape, None if is_last else number, kept))
        if not is_last:
            (only,) = stage.layers
            layers.append(UnitLayer(only.name, only.module.weight.shape[0]))
    return UnitGraph(tuple(layers), tuple(weights))


def merge_units(graphs: Iterable[UnitGraph]) -> UnitGraph:
    """Several graphs as one; layers are numbered through.

    Args:
        graphs: Of different networks.

    Returns:
        One graph.
    """
    layers: list[UnitLayer] = []
    weights: list[WeightOfUnits] = []
    for graph in graphs:
        first = len(layers)
        layers += graph.layers
        for weight in graph.weights:
            segments = tuple(
                Segment(None if s.layer is None else s.layer + first, s.columns)
                for s in weight.segments
            )
            rows = None if weight.rows is None else weight.rows + first
            weights.append(WeightOfUnits(weight.name, weight.shape, rows, segments))
    return UnitGraph(tuple(layers), tuple(weights))


def without_layers(graph: UnitGraph, staying: Collection[int]) -> UnitGraph:
    """The same weights, some layers of whose units none may leave.

    Args:
        graph: The units.
        staying: Numbers of these layers.

    Returns:
        A graph of the other layers, numbered anew: rows of the former are nobody's, and
        columns that read them count as inputs.
    """
    left = [number for number in range(len(graph.layers)) if number not in staying]
    new: dict[int | None, int] = {number: i for i, number in enumerate(left)}
    weights = [
        WeightOfUnits(
            weight.name,
            weight.shape,
            new.get(weight.rows),
            tuple(Segment(new.get(s.layer), s.columns) for s in weight.segments),
        )
        for weight in graph.weights
    ]
    return UnitGraph(tuple(graph.layers[number] for number in left), tuple(weights))
