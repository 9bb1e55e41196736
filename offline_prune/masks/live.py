"""Which units of a network are alive under a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from offline_prune.agents.separable import Separable
from offline_prune.agents.topology import Chain
from offline_prune.masks.connectivity import unit_mask
from offline_prune.masks.reading import read_units

__all__ = ["live_units"]


def live_units(
    chains: Iterable[Chain],
    connected: Mapping[str, Tensor],
    separable: Iterable[Separable] = (),
) -> dict[str, Tensor]:
    """Find the units that lie on a path from an input to an output.

    Args:
        chains: How the units feed one another. Those whose constant units do not fold
            (:attr:`Chain.constant_units_fold`) are left out.
        connected: Weight name → boolean mask, the connected part: it holds weights of
            live units only.
        separable: Networks whose units are alive while somebody reads them, where they are
            in none of the chains before.

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
    for network in separable:
        if network.layers[0].name in live:
            continue
        read = read_units(network.graph, connected)
        for weight in network.graph.weights:
            everything = torch.ones(weight.shape[0], dtype=torch.bool)
            live[weight.name] = everything if weight.rows is None else read[weight.rows]
    return live
