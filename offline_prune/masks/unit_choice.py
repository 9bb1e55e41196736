"""From scores of units to the units that stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from offline_prune.agents.units import UnitGraph

__all__ = ["choose_units"]


@torch.no_grad()
def choose_units(
    graph: UnitGraph,
    scores: Sequence[Tensor],
    alive: Sequence[Tensor],
    budget: float,
    multiple: int = 1,
) -> list[Tensor]:
    """Keep the units of the highest scores, as many as a budget pays for.

    Units of a layer stay or leave by ``multiple`` at once: its best ones, the next best
    ones, …, the last bundle being what is left over. A bundle's score is the mean of its
    units'. Every layer keeps its best bundle, whatever that costs.

    Args:
        graph: The units.
        scores: A score a unit of each layer, (size,), from 0 on; higher = keep.
        alive: (size,) boolean of each layer; dead units are not chosen.
        budget: Weights.
        multiple: Units of a bundle, at least 1.

    Returns:
        (size,) boolean of each layer, true = kept: all bundles from the lowest threshold
        on with which the kept weights are within the budget.
    """
    sizes = [len(p) for p in scores]
    here = torch.cat([a.cpu() for a in alive])
    bundle_of, bundle_scores, best = _bundles(
        [p.where(a, -1.0).cpu() for p, a in zip(scores, alive, strict=True)], multiple
    )
    place = torch.empty(len(bundle_scores), dtype=torch.long)
    order = torch.argsort(bundle_scores, descending=True, stable=True)
    place[order] = torch.arange(len(order))
    place_of, always = place[bundle_of], torch.isin(bundle_of, best)

    def kept(count: int) -> list[Tensor]:
        return list((((place_of < count) | always) & here).split(sizes))

    low, high = 0, len(bundle_scores)
    while low < high:
        middle = (low + high + 1) // 2
        if float(graph.expected_weights([k.float() for k in kept(middle)])) <= budget:
            low = middle
        else:
            high = middle - 1
    return kept(low)


def _bundles(marked: Sequence[Tensor], multiple: int) -> tuple[Tensor, Tensor, Tensor]:
    """The bundle of every unit, the score of every bundle, the best one of every layer."""
    bundles, scores, best = [], [], []
    first = 0
    for values in marked:
        ranked = torch.argsort(values, descending=True, stable=True)
        bundle = torch.empty(len(values), dtype=torch.long)
        bundle[ranked] = torch.arange(len(values)) // multiple
        means = torch.stack([part.mean() for part in values[ranked].split(multiple)])
        bundles.append(bundle + first)
        scores.append(means)
        best.append(first)
        first += len(means)
    return torch.cat(bundles), torch.cat(scores), torch.tensor(best)
