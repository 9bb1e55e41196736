"""Which units an output depends on, whatever the wiring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from offline_prune.agents.units import UnitGraph
from offline_prune.masks.connectivity import unit_mask

__all__ = ["read_part", "read_units"]


def read_units(graph: UnitGraph, weights: Mapping[str, Tensor]) -> list[Tensor]:
    """Find the units that an output depends on through weights that are not zero.

    A unit is read if a weight ≠ 0 of an output, or of a unit that is read itself, reads
    it: the least set that is closed under this, so that units which only read one another
    (a channel of a residual stack and a unit of its blocks) are not in it. What nobody
    reads is multiplied by zeros only: the function does not depend on it, whatever its own
    weights and biases, padding or pooling, where everything between layers keeps units
    apart. A unit that puts out a constant is read, and stays.

    Args:
        graph: The units.
        weights: Weight name → value, or mask, of every weight of the graph.

    Returns:
        (size,) boolean of each layer of the graph, true = read, on the CPU.
    """
    nonzero = {w.name: unit_mask(weights[w.name].detach().cpu() != 0) for w in graph.weights}
    units = [torch.zeros(layer.size, dtype=torch.bool) for layer in graph.layers]
    grows = True
    while grows:
        grows = False
        for weight in reversed(graph.weights):  # most of them from the outputs backwards
            reads = nonzero[weight.name]
            columns = (reads if weight.rows is None else reads[units[weight.rows]]).any(dim=0)
            for layer, owned in graph.owned_columns(weight, columns):
                read = owned.any(dim=1)
                if bool((read & ~units[layer]).any()):
                    units[layer] |= read
                    grows = True
    return units


def read_part(graphs: Iterable[UnitGraph], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Restrict a mask to the weights of units that are read, and of outputs.

    Args:
        graphs: The units.
        mask: Weight name → boolean mask of the weight's shape.

    Returns:
        Weight name → boolean mask; a subset of ``mask``. Weights that belong to no graph are
        returned as they are.
    """
    part = dict(mask)
    for graph in graphs:
        units = read_units(graph, mask)
        for weight in graph.weights:
            if weight.rows is not None:
                full = mask[weight.name]
                rows = units[weight.rows].to(full.device)
                part[weight.name] = full & rows.view(-1, *[1] * (full.dim() - 1))
    return part
