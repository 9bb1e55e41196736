"""Where the entries of a small parameter live in the parameters it stands for.

One mapping serves weights, target weights and optimizer moments alike, in both
directions: pack into the small shape, unpack into the original one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from offline_prune.agents.separable import Separable
from offline_prune.agents.stacks import Normalisation, Stack
from offline_prune.compaction.layers import at_least_one

__all__ = ["Packing", "dense_packings", "sparse_packing"]

_OF_NORMS = ("weight", "bias", "running_mean", "running_var")


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
            A new tensor of :attr:`shape`; channels last in memory where the first original is.
        """
        pairs = zip(tensors, self.positions, strict=True)
        small = torch.cat([tensor.detach().flatten()[i] for tensor, i in pairs]).view(self.shape)
        if _is_channels_last(self.originals[0]):
            return small.contiguous(memory_format=torch.channels_last)
        return small

    def unpack(self, small: Tensor, into: Sequence[Tensor]) -> None:
        """Scatter the entries of a small tensor; all others stay as they are.

        Args:
            small: Of :attr:`shape`.
            into: One tensor of the shape of each original; written in place.
        """
        parts = small.detach().flatten().split([len(i) for i in self.positions])
        for tensor, i, part in zip(into, self.positions, parts, strict=True):
            if tensor.is_contiguous():
                tensor.detach().view(-1)[i] = part
            else:
                tensor.detach()[torch.unravel_index(i, tensor.shape)] = part

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


def dense_packings(
    network: Separable, live: Mapping[str, Tensor]
) -> list[tuple[nn.Module, dict[str, Packing]]]:
    """Take the dead units out of every layer of a network, and of its batch normalisation.

    Args:
        network: An online network or its target.
        live: Weight name → (out,) boolean, true = alive. A layer keeps at least one
            unit, so that no tensor is empty.

    Returns:
        Every layer in order, then every normalisation, with the packings of its tensors by
        name: ``"weight"``, (live out, live in, …), and ``"bias"``, (live out,), where there is
        one; ``"weight"``, ``"bias"``, ``"running_mean"`` and ``"running_var"``, (live,).
    """
    units = [at_least_one(there) for there in network.units(live)]
    packings: list[tuple[nn.Module, dict[str, Packing]]] = []
    for layer, weight in zip(network.layers, network.graph.weights, strict=True):
        value = layer.module.weight
        rows = torch.ones(weight.shape[0], dtype=torch.bool)
        if weight.rows is not None:
            rows = units[weight.rows]
        columns = network.graph.columns(weight, units)
        grid = torch.arange(value.numel()).view(value.shape)[rows][:, columns]
        found = {"weight": _packing([value], [grid.flatten()], tuple(grid.shape))}
        if layer.module.bias is not None:
            found["bias"] = _of_units(layer.module.bias, rows)
        packings.append((layer.module, found))
    by_name = {layer.name: there for layer, there in zip(network.graph.layers, units, strict=True)}
    for norm in network.norms:
        tensors = {name: getattr(norm.module, name) for name in _OF_NORMS}
        found = {n: _of_units(t, by_name[norm.layer]) for n, t in tensors.items() if t is not None}
        packings.append((norm.module, found))
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


def _is_channels_last(tensor: Tensor) -> bool:
    """Whether it is laid out so and not otherwise: kernels of optimizers want moments alike."""
    is_so = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return is_so and not tensor.is_contiguous()


def _packing(
    originals: Sequence[Tensor], positions: Sequence[Tensor], shape: tuple[int, ...] | None = None
) -> Packing:
    """A packing of a shape; of a vector where none is given."""
    size = sum(len(position) for position in positions)
    moved = [i.to(o.device) for i, o in zip(positions, originals, strict=True)]
    return Packing(tuple(originals), tuple(moved), (size,) if shape is None else shape)


def _of_units(tensor: Tensor, units: Tensor) -> Packing:
    """The packing of a tensor of one number a unit."""
    return _packing([tensor], [units.nonzero().flatten()], (int(units.sum()),))
