"""Give the budget of weights that lead nowhere to the next best scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain
from offline_prune.masks.allocation import Allocation, allocate
from offline_prune.masks.connectivity import connected_part
from offline_prune.masks.counts import add_highest, kept_in
from offline_prune.masks.live import columns_of, live_units

__all__ = ["refilled"]


def refilled(
    chains: Sequence[Chain],
    kept: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    sparsity: float,
    allocation: Allocation,
) -> dict[str, Tensor]:
    """Keep as many *connected* weights as a mask keeps nominal ones.

    The connected part of the best k weights only grows with k. The largest k whose
    connected part stays within the budget is found by bisection; what is left of the
    budget goes to the next best weights between units that are alive already, each of
    which is connected at once.

    Args:
        chains: How the units feed one another.
        kept: Weight name → boolean mask, also of other networks that share a chain.
        scores: Weight name → score, of the weights to refill.
        sparsity: s in [0, 1), of these weights.
        allocation: As in :func:`~offline_prune.masks.allocation.allocate`; given
            densities are not scaled up, only the second step is taken.

    Returns:
        Weight name → boolean mask of the names of ``scores``, with as many kept weights
        as before.
    """
    budget = sum(int(kept[name].sum()) for name in scores)
    size = sum(score.numel() for score in scores.values())
    ours = [chain for chain in chains if any(name in scores for name in chain.weight_names)]

    def connected(count: int) -> dict[str, Tensor]:
        mask = kept
        if not isinstance(allocation, Mapping):
            mask = {**kept, **allocate(scores, 1.0 - count / size, allocation)}
        part = connected_part(ours, mask)
        return {name: part[name] for name in scores}

    low, high = budget, size
    while low < high:
        middle = (low + high + 1) // 2
        if kept_in(connected(middle)) <= budget:
            low = middle
        else:
            high = middle - 1
    chosen = connected(low)
    chosen = add_highest(chosen, scores, _between_live_units(ours, {**kept, **chosen}), budget)
    everything = {name: torch.ones_like(mask) for name, mask in chosen.items()}
    return add_highest(chosen, scores, everything, budget)


def _between_live_units(chains: Sequence[Chain], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that read a live unit and belong to one; all where wiring is unknown."""
    live = live_units(chains, kept)
    allowed = {name: torch.ones_like(mask) for name, mask in kept.items()}
    for chain in chains:
        before: Tensor | None = None
        for stage in chain.stages:
            columns = columns_of(stage, before)
            for layer in stage.layers:
                between = live[layer.name][:, None] & columns[None, :]
                mask = kept[layer.name]
                shape = (*between.shape, *[1] * (mask.dim() - 2))
                allowed[layer.name] = between.view(shape).expand(mask.shape)
            before = live[stage.layers[0].name]
    return allowed
