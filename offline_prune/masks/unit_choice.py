"""From scores of units to the units that stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from offline_prune.agents.units import UnitGraph

__all__ = ["choose_units"]


@torch.no_grad()
def choose_units(
    graph: UnitGraph, scores: Sequence[Tensor], alive: Sequence[Tensor], budget: float
) -> list[Tensor]:
    """Keep the units of the highest scores, as many as a budget pays for.

    Every layer keeps its best unit, whatever that costs.

    Args:
        graph: The units.
        scores: A score a unit of each layer, (size,), from 0 on; higher = keep.
        alive: (size,) boolean of each layer; dead units are not chosen.
        budget: Weights.

    Returns:
        (size,) boolean of each layer, true = kept: all units from the lowest threshold
        on with which the kept weights are within the budget.
    """
    sizes = [len(p) for p in scores]
    marked = [p.where(a, -1.0).cpu() for p, a in zip(scores, alive, strict=True)]
    flat = torch.cat(marked)
    always = torch.cat([torch.arange(len(p)) == int(p.argmax()) for p in marked])
    order = torch.argsort(flat, descending=True, stable=True)

    def kept(count: int) -> list[Tensor]:
        chosen = always.clone()
        chosen[order[:count]] = True
        return list((chosen & (flat >= 0)).split(sizes))

    low, high = 0, len(flat)
    while low < high:
        middle = (low + high + 1) // 2
        if float(graph.expected_weights([k.float() for k in kept(middle)])) <= budget:
            low = middle
        else:
            high = middle - 1
    return kept(low)
