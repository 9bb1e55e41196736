"""Take units out that no output depends on, whatever the wiring."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from offline_prune.agents.units import UnitGraph
from offline_prune.compaction.layers import at_least_one, fill_layer

__all__ = ["remove_units"]


@torch.no_grad()
def remove_units(module: nn.Module, graph: UnitGraph, units: Sequence[Tensor]) -> None:
    """Make the layers of a module smaller, in place: rows, biases and columns leave.

    Args:
        module: Holds the weights under the names of the graph (``"0.last.weight"``), in
            linear layers and convolutions of one group.
        graph: Its units.
        units: (size,) boolean of each layer, true = stays; where none does, the first one.
    """
    units = [at_least_one(there) for there in units]
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
