"""Give the budget of weights that lead nowhere to the next best scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from offline_prune.agents.topology import Chain
from offline_prune.masks.allocation import Allocation, make_allocation
from offline_prune.masks.connectivity import columns_of, connected_part
from offline_prune.masks.constant_fan_in import ConstantFanIn
from offline_prune.masks.counts import add_highest, kept_in
from offline_prune.masks.floor import Floor
from offline_prune.masks.live import live_units

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

    A floor holds for connected weights too, and units that are alive keep a constant fan-in
    up to one, as far as there are weights between units that are alive: the bisection
    counts the weights that this takes.

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

    rule = None if isinstance(allocation, Mapping) else make_allocation(allocation)

    def between_live_units(mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return _between_live_units(ours, {**kept, **mask})

    def connected(count: int) -> dict[str, Tensor]:
        mask = kept
        if rule is not None:
            mask = {**kept, **rule(scores, 1.0 - count / size)}
        part = connected_part(ours, mask)
        found = {name: part[name] for name in scores}
        # Neither adds more than was dropped: what ``count = budget`` gives is in the budget.
        if isinstance(rule, Floor):
            return rule.complete(found, scores, between_live_units(found), budget)
        if isinstance(rule, ConstantFanIn):
            return rule.complete(found, scores, between_live_units(found))
        return found

    low, high = budget, size
    while low < high:
        middle = (low + high + 1) // 2
        if kept_in(connected(middle)) <= budget:
            low = middle
        else:
            high = middle - 1
    chosen = connected(low)
    add = rule.spend if isinstance(rule, ConstantFanIn) else add_highest
    chosen = add(chosen, scores, between_live_units(chosen), budget)
    everything = {name: torch.ones_like(mask) for name, mask in chosen.items()}
    return add(chosen, scores, everything, budget)


def _between_live_units(chains: Sequence[Chain], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that read a live unit and belong to one; all where wiring is unknown."""
    live = live_units(chains, kept)
    allowed = {name: torch.ones_like(mask) for name, mask in kept.items()}
    for chain in chains:
        before: Tensor | None = None
        for stage in chain.stages:
            columns = columns_of(stage, before, kept[stage.layers[0].name].shape[1])
            for layer in stage.layers:
                units = live[layer.name]
                between = units[:, None] & columns.to(units.device)[None, :]
                mask = kept[layer.name]
                shape = (*between.shape, *[1] * (mask.dim() - 2))
                allowed[layer.name] = between.view(shape).expand(mask.shape)
            before = live[stage.layers[0].name]
    return allowed
