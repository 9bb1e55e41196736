"""Which units of a network are alive under a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain, Stage
from offline_prune.masks.connectivity import unit_mask

__all__ = ["columns_of", "live_units"]


def live_units(chains: Iterable[Chain], connected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Find the units that lie on a path from an input to an output.

    Args:
        chains: How the units feed one another. Those whose constant units do not fold
            (:attr:`Chain.constant_units_fold`) are left out: nothing of them is dead.
        connected: Weight name → boolean mask, the connected part: it holds weights of
            live units only.

    Returns:
        Weight name → (out,) boolean, true = alive. Every output of a head is.
    """
    live: dict[str, Tensor] = {}
    for chain in chains:
        if not chain.constant_units_fold:
            continue
        for stage in chain.stages:
            for layer in stage.layers:
                units = unit_mask(connected[layer.name]).any(dim=1)
                live[layer.name] = (
                    units.new_ones(len(units)) if stage is chain.stages[-1] else units
                )
    return live


def columns_of(stage: Stage, before: Tensor | None) -> Tensor:
    """Spread the live units of one stage over the columns of the next.

    Args:
        stage: The stage that reads them.
        before: (units,) boolean, the live units of the stage before; None for inputs.

    Returns:
        (in,) boolean; inputs of the network, also appended ones, are all alive.
    """
    width = stage.layers[0].module.weight.shape[1]
    columns = torch.ones(width, dtype=torch.bool)
    if before is not None:
        owned = before.repeat_interleave(stage.repeat)
        columns[: len(owned)] = owned
    return columns
