"""Every unit of a layer keeps as many incoming weights as the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from offline_prune.masks.counts import keep_highest, kept_in, with_added

__all__ = ["ConstantFanIn", "keep_highest_by_unit"]


def keep_highest_by_unit(scores: Tensor, counts: Tensor) -> Tensor:
    """Mask of the highest scores of every unit; ties go to the lower flat index.

    Args:
        scores: (out, in, …), finite.
        counts: (out,) whole numbers, how many of each unit to keep.

    Returns:
        Boolean mask of the scores' shape.
    """
    return (_ranks(scores.detach().flatten(1)) < counts[:, None]).view(scores.shape)


def _ranks(rows: Tensor) -> Tensor:
    """Rank of every entry in its row, 0 for the highest; ties in order."""
    order = rows.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(rows.shape[1], device=rows.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


@dataclass(frozen=True)
class ConstantFanIn:
    """The units of a layer keep ⌊B/n⌋ or ⌈B/n⌉ incoming weights each, their best ones.

    B is the layer's budget, n its number of units (outputs, filters). The ``B mod n`` units
    whose next best weight has the highest scores keep one more; ties go to the lower unit.

    Attributes:
        layers: Function of (scores, sparsity) to a mask; what it keeps of a layer is the
            layer's budget.

    References:
        Lasby et al. 2024, arXiv 2305.02299 (SRigL).
    """

    layers: Callable[[Mapping[str, Tensor], float], dict[str, Tensor]]

    def __call__(self, scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """Keep exactly ``round(N · (1 − s))`` weights of one network.

        Args:
            scores: Weight name → score of the weight's shape; higher = keep.
            sparsity: s in [0, 1).

        Returns:
            Weight name → boolean mask of the weight's shape.
        """
        budgets = self.layers(scores, sparsity)
        return {n: _constant(score, kept_in({n: budgets[n]})) for n, score in scores.items()}

    def complete(
        self,
        chosen: Mapping[str, Tensor],
        scores: Mapping[str, Tensor],
        allowed: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Level the units of every layer of a mask again, after some of it was dropped.

        Args:
            chosen: Weight name → boolean mask; stays chosen.
            scores: Weight name → score of the mask's shape, also of further weights.
            allowed: Weight name → boolean: which may be added.

        Returns:
            Weight name → boolean mask, a superset of ``chosen``: no unit has two weights
            less than another one of its layer, unless all that it may have. A part of a
            mask of constant fan-in gets no more than it had.
        """
        levels = _levels(chosen, scores, allowed)
        return {
            name: mask | (levels[name] <= int(mask.flatten(1).sum(dim=1).max()) - 2)
            for name, mask in chosen.items()
        }

    def spend(
        self,
        chosen: Mapping[str, Tensor],
        scores: Mapping[str, Tensor],
        allowed: Mapping[str, Tensor],
        budget: int,
    ) -> dict[str, Tensor]:
        """Add weights until a budget is spent, first to units that have the fewest.

        Args:
            chosen: Weight name → boolean mask; stays chosen. At most ``budget`` weights.
            scores: Weight name → score of the mask's shape, also of further weights.
            allowed: Weight name → boolean: which may be added.
            budget: Weights to keep in all.

        Returns:
            Weight name → boolean mask, a superset of ``chosen``.
        """
        levels = _levels(chosen, scores, allowed)
        above = torch.cat([(level - level.min()).flatten() for level in levels.values()])
        is_free = torch.cat([(level < _NEVER).flatten() for level in levels.values()])
        flat = torch.cat([scores[name].flatten() for name in chosen])
        order = flat.argsort(descending=True, stable=True)
        order = order[above[order].argsort(stable=True)]
        order = order[is_free[order]][: budget - kept_in(chosen)]
        added = torch.zeros_like(is_free)
        added[order] = True
        return with_added(chosen, added)


def _constant(score: Tensor, count: int) -> Tensor:
    least, more = divmod(count, len(score))
    counts = torch.full((len(score),), least, device=score.device)
    if more:  # then no unit is full, and there is a next best
        ranked = score.detach().flatten(1).sort(dim=1, descending=True).values
        counts += keep_highest(ranked[:, least].contiguous(), more)
    return keep_highest_by_unit(score, counts)


_NEVER = 2**62
"""Level of an entry that is chosen already or may not be."""


def _levels(
    chosen: Mapping[str, Tensor], scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """How many weights its unit has when an entry's turn comes, best entries first."""
    levels = {}
    for name, mask in chosen.items():
        free = (allowed[name] & ~mask).flatten(1)
        order = scores[name].detach().flatten(1).argsort(dim=1, descending=True, stable=True)
        turns = free.gather(1, order).cumsum(dim=1) - 1
        turns = torch.empty_like(order).scatter_(1, order, turns)
        counts = mask.flatten(1).sum(dim=1, keepdim=True)
        levels[name] = torch.where(free, counts + turns, _NEVER).view(mask.shape)
    return levels
