"""Where the entries of a small parameter live in the parameters it stands for.

One mapping serves weights, target weights and optimizer moments alike, in both
directions: pack into the small shape, unpack into the original one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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
    chain: Chain, live: Mapping[str, Tensor], connected: Mapping[str, Tensor]
) -> tuple[Packing, list[Tensor]]:
    """Keep the connected weights and the biases of live units, as one vector.

    Args:
        chain: An online chain or its target; linear layers only.
        live: Weight name → (out,) boolean, true = alive.
        connected: Weight name → boolean mask, the connected part.

    Returns:
        The packing, all weights layer by layer and row by row, then all biases; and
        for every stage the (live out, live in) mask of its layers one below the other.
    """
    layers = [layer for stage in chain.stages for layer in stage.layers]
    weights = [layer.module.weight for layer in layers]
    biases = [layer.module.bias for layer in layers if layer.module.bias is not None]
    positions = [connected[layer.name].flatten().nonzero().flatten() for layer in layers]
    positions += [live[layer.name].nonzero().flatten() for layer in layers]
    masks = []
    before: Tensor | None = None
    for stage in chain.stages:
        columns = columns_of(stage, before, connected[stage.layers[0].name].shape[1])
        rows = [connected[layer.name][live[layer.name]][:, columns] for layer in stage.layers]
        masks.append(torch.cat(rows))
        before = live[stage.layers[0].name]
    size = sum(len(position) for position in positions)
    return _packing([*weights, *biases], positions, (size,)), masks


def _packing(
    originals: Sequence[Tensor], positions: Sequence[Tensor], shape: tuple[int, ...]
) -> Packing:
    device = originals[0].device
    return Packing(tuple(originals), tuple(i.to(device) for i in positions), shape)


def _at_least_one(units: Tensor) -> Tensor:
    if units.any():
        return units
    first = units.clone()
    first[0] = True
    return first
