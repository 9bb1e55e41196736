"""Where the entries of a small parameter live in the parameters it stands for.

One mapping serves weights, target weights and optimizer moments alike, in both
directions: pack into the small shape, unpack into the original one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from offline_prune.agents.stacks import Normalisation, Stack
from offline_prune.agents.topology import Chain
from offline_prune.masks.connectivity import columns_of

__all__ = ["Packing", "dense_packings", "sparse_packing"]


@dataclass(frozen=True)
class Packing:
    """A small parameter, entry by entry.

    Attributes:
        originals: The parameters of the original shapes, in order.
        positions: For each of them, the flat positions of the entries that are kept.
        shape: Shape of the small parameter; its entries are those of the first
            original, then of the second, …
    """

    originals: tuple[Tensor, ...]
    positions: tuple[Tensor, ...]
    shape: tuple[int, ...]

    def pack(self, tensors: Sequence[Tensor]) -> Tensor:
        """Gather the kept entries.

        Args:
            tensors: One of the shape of each original.

        Returns:
            A new tensor of :attr:`shape`.
        """
        pairs = zip(tensors, self.positions, strict=True)
        return torch.cat([tensor.detach().flatten()[i] for tensor, i in pairs]).view(self.shape)

    def unpack(self, small: Tensor, into: Sequence[Tensor]) -> None:
        """Scatter the entries of a small tensor; all others stay as they are.

        Args:
            small: Of :attr:`shape`.
            into: One contiguous tensor of the shape of each original; written in place.
        """
        parts = small.detach().flatten().split([len(i) for i in self.positions])
        for tensor, i, part in zip(into, self.positions, parts, strict=True):
            tensor.detach().view(-1)[i] = part

    def split(self, count: int) -> tuple[Packing, Packing]:
        """A packing of the first originals, and one of the rest.

        Args:
            count: How many the first has.

        Returns:
            The two, of vectors.
        """
        parts = (slice(count), slice(count, None))
        first, second = (_packing(self.originals[i], self.positions[i]) for i in parts)
        return first, second


def dense_packings(chain: Chain, live: Mapping[str, Tensor]) -> list[tuple[Packing, Packing]]:
    """Take the dead units out of every layer of a chain.

    Args:
        chain: An online chain or its target.
        live: Weight name → (out,) boolean, true = alive. A layer keeps at least one
            unit, so that no tensor is empty.

    Returns:
        For every layer of the chain in order, the packings of its weight,
        (live out, live in, …), and of its bias, (live out,).
    """
    packings = []
    before: Tensor | None = None
    for stage in chain.stages:
        columns = columns_of(stage, before, stage.layers[0].module.weight.shape[1])
        for layer in stage.layers:
            units = _at_least_one(live[layer.name])
            weight, bias = layer.module.weight, layer.module.bias
            assert bias is not None  # part of what Chain.constant_units_fold promises
            grid = torch.arange(weight.numel()).view(weight.shape)[units][:, columns]
            packings.append(
                (
                    _packing([weight], [grid.flatten()], tuple(grid.shape)),
                    _packing([bias], [units.nonzero().flatten()], (int(units.sum()),)),
                )
            )
        before = _at_least_one(live[stage.layers[0].name])
    return packings


def sparse_packing(
    stack: Stack, live: Mapping[str, Tensor], kept: Mapping[str, Tensor]
) -> tuple[Packing, list[Tensor]]:
    """Keep some weights, the biases of live units and all scales and shifts, as one vector.

    Args:
        stack: A stack of online layers or of a target's.
        live: Weight name → (out,) boolean, true = alive. All units of layers that are not
            named are.
        kept: Weight name → boolean mask; between live units.

    Returns:
        The packing, all weights step by step and row by row, then step by step the biases,
        or scale and shift; and for every step of linear layers the (live out, live in) mask
        of its layers one below the other.
    """
    positions = [kept[layer.name].flatten().nonzero().flatten() for layer in stack.layers]
    masks: list[Tensor] = []
    outputs: list[Tensor] = []  # of each step, which of its units are alive
    for step in stack.steps:
        if isinstance(step, Normalisation):
            outputs.append(outputs[step.reads])
            n_parameters = 0 if step.module.weight is None else 2
            positions += [torch.arange(len(outputs[-1]))] * n_parameters
            continue
        rows = []
        for layer in step.layers:
            mask = kept[layer.name]
            units = live.get(layer.name, mask.new_ones(len(mask)))
            columns = mask.new_ones(mask.shape[1])
            if step.reads >= 0:
                columns = outputs[step.reads]
            rows.append(mask[units][:, columns])
            if layer.module.bias is not None:
                positions.append(units.nonzero().flatten())
        masks.append(torch.cat(rows))
        outputs.append(live.get(step.layers[0].name, mask.new_ones(len(mask))))
    return _packing(stack.parameters, positions), masks


def _packing(
    originals: Sequence[Tensor], positions: Sequence[Tensor], shape: tuple[int, ...] | None = None
) -> Packing:
    """A packing of a shape; of a vector where none is given."""
    size = sum(len(position) for position in positions)
    moved = [i.to(o.device) for i, o in zip(positions, originals, strict=True)]
    return Packing(tuple(originals), tuple(moved), (size,) if shape is None else shape)


def _at_least_one(units: Tensor) -> Tensor:
    if units.any():
        return units
    first = units.clone()
    first[0] = True
    return first
