"""Take units out that no output depends on, whatever the wiring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from offline_prune.agents.units import UnitGraph
from offline_prune.compaction.layers import fill_layer
from offline_prune.masks.connectivity import unit_mask

__all__ = ["read_units", "remove_units"]


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
        weights: Weight name → value, of every weight of the graph.

    Returns:
        (size,) boolean of each layer of the graph, true = read. A layer of which nothing
        is read keeps its first unit.
    """
    nonzero = {w.name: unit_mask(weights[w.name].detach().cpu() != 0) for w in graph.weights}
    units = [torch.zeros(layer.size, dtype=torch.bool) for layer in graph.layers]
    grows = True
    while grows:
        grows = False
        for weight in graph.weights:
            reads = nonzero[weight.name]
            columns = (reads if weight.rows is None else reads[units[weight.rows]]).any(dim=0)
            for layer, owned in graph.owned_columns(weight, columns):
                read = owned.any(dim=1)
                if bool((read & ~units[layer]).any()):
                    units[layer] |= read
                    grows = True
    for there in units:
        there[0] |= not bool(there.any())
    return units


@torch.no_grad()
def remove_units(module: nn.Module, graph: UnitGraph, units: Sequence[Tensor]) -> None:
    """Make the layers of a module smaller, in place: rows, biases and columns leave.

    Args:
        module: Holds the weights under the names of the graph (``"0.last.weight"``), in
            linear layers and convolutions of one group.
        graph: Its units.
        units: (size,) boolean of each layer, true = stays; one at least in each.
    """
    for weight in graph.weights:
        layer = module.get_submodule(weight.name.rpartition(".")[0])
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        rows = torch.ones(weight.shape[0], dtype=torch.bool)
        if weight.rows is not None:
            rows = units[weight.rows]
        columns = graph.columns(weight, units)
        rows, columns = rows.to(layer.weight.device), columns.to(layer.weight.device)
        bias = None if layer.bias is None else layer.bias[rows]
        fill_layer(
            layer, layer.weight[rows][:, columns], bias, requires_grad=layer.weight.requires_grad
        )
