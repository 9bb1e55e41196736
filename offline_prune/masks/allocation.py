"""From scores to an exact number of kept weights: which weights of which layers.

Every function keeps exactly ``round(N · (1 − sparsity))`` of a network's N weights, at
least one. Ties are broken by flat index, so the same scores always give the same mask.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from offline_prune.base.expression import parse
from offline_prune.errors import InputError, SparsityError, UnknownNameError
from offline_prune.masks.constant_fan_in import ConstantFanIn
from offline_prune.masks.counts import check_sparsity, keep_highest, kept_count
from offline_prune.masks.erk import erk_densities
from offline_prune.masks.floor import Floor

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "ByDensity",
    "Rule",
    "allocate",
    "check_sparsity",
    "erk_densities",
    "is_constant_fan_in",
    "keep_highest",
    "kept_count",
    "make_allocation",
]


def is_constant_fan_in(allocation: Allocation) -> bool:
    """Whether an allocation gives all units of a layer the same number of weights.

    Args:
        allocation: As in :func:`allocate`.

    Returns:
        True for ``"constant_fan_in"``, whatever its layers' budgets.

    Raises:
        InputError: If there is no such allocation.
    """
    return isinstance(make_allocation(allocation), ConstantFanIn)


def _whole_counts(
    wanted: Mapping[str, float], sizes: Mapping[str, int], total: int
) -> dict[str, int]:
    """Round wanted counts to integers in [0, size] that add up to ``total`` exactly.

    Largest remainder; a layer gets its first weight before any gets a second one, so
    that no layer is emptied by rounding alone while the budget allows it.
    """
    floor = min(1, total // len(sizes))
    counts = {name: min(sizes[name], max(floor, math.floor(wanted[name]))) for name in sizes}
    by_remainder = sorted(sizes, key=lambda name: math.floor(wanted[name]) - wanted[name])
    by_size = sorted(sizes, key=lambda name: -counts[name])
    while (missing := total - sum(counts.values())) > 0:
        room = [name for name in by_remainder if counts[name] < sizes[name]]
        for name in room[:missing]:
            counts[name] += 1
    while (excess := sum(counts.values()) - total) > 0:
        room = [name for name in by_size if counts[name] > floor]
        for name in room[:excess]:
            counts[name] -= 1
    return counts


@dataclass(frozen=True)
class ByDensity:
    """The best of every layer, as many as its density says, whatever the scores of others.

    Attributes:
        densities: Function of (weight name → shape, sparsity) to weight name → density.
    """

    densities: Callable[[Mapping[str, tuple[int, ...]], float], dict[str, float]]

    def __call__(self, scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """Keep exactly ``round(N · (1 − s))`` weights of one network."""
        densities = self.densities({n: tuple(s.shape) for n, s in scores.items()}, sparsity)
        sizes = {name: score.numel() for name, score in scores.items()}
        wanted = {name: size * densities[name] for name, size in sizes.items()}
        counts = _whole_counts(wanted, sizes, kept_count(sum(sizes.values()), sparsity))
        return {name: keep_highest(score, counts[name]) for name, score in scores.items()}


def _uniform_densities(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    return dict.fromkeys(shapes, 1.0 - sparsity)


def _global(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    flat = torch.cat([score.detach().reshape(-1) for score in scores.values()])
    mask = keep_highest(flat, kept_count(flat.numel(), sparsity))
    parts = mask.split([score.numel() for score in scores.values()])
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


Rule: TypeAlias = Callable[[Mapping[str, Tensor], float], dict[str, Tensor]]
"""Function of (scores of one network, sparsity) to its mask."""

ALLOCATIONS: dict[str, Rule] = {
    "global": _global,
    "uniform": ByDensity(_uniform_densities),
    "erk": ByDensity(erk_densities),
    "floor": Floor(),
    "constant_fan_in": ConstantFanIn(ByDensity(erk_densities)),
}
"""Allocation name → what it is without arguments.

``global``: one threshold over the whole network (the paper's choice); ``uniform``: the
same density in every layer; ``erk``: Erdős–Rényi-kernel layer densities; ``floor``: one
threshold that leaves every layer a minimum; ``constant_fan_in``: every unit of a layer keeps
as many weights, by ERK's layer densities.

Examples:
    >>> from offline_prune.masks import ALLOCATIONS
    >>> sorted(ALLOCATIONS)
    ['constant_fan_in', 'erk', 'floor', 'global', 'uniform']
"""


def _constant_fan_in(layers: str = "erk") -> ConstantFanIn:
    if layers not in _BUDGETS:
        raise UnknownNameError("layers of constant_fan_in", str(layers), _BUDGETS)
    return ConstantFanIn(ALLOCATIONS[layers])


_BUDGETS = ("erk", "global", "uniform")

_WITH_ARGUMENTS: dict[str, Callable[..., Rule]] = {
    "floor": Floor,
    "constant_fan_in": _constant_fan_in,
}


Allocation: TypeAlias = str | Mapping[str, float]
"""A key of :data:`ALLOCATIONS`, with arguments or without; or weight name → density in [0, 1]."""


def make_allocation(allocation: Allocation) -> Rule:
    """Read an allocation.

    Args:
        allocation: A key of :data:`ALLOCATIONS`, or one with arguments: ``"floor(fan_in=8)"``,
            ``"floor(density=0.05)"``, ``"constant_fan_in(layers=global)"``; or the density of
            every layer by weight name.

    Returns:
        Function of (scores of one network, sparsity) to its mask.

    Raises:
        UnknownNameError: If there is no such allocation, or no such ``layers``.
        InputError: If the text cannot be read, or an argument does not exist or has a
            wrong value.
    """
    if isinstance(allocation, Mapping):
        return ByDensity(partial(_given_densities, allocation))
    if not isinstance(allocation, str):
        raise UnknownNameError("allocation", str(allocation), ALLOCATIONS)
    found = parse(allocation, "name of an allocation", "'floor(fan_in=8)'")
    if found.name not in ALLOCATIONS:
        raise UnknownNameError("allocation", found.name, ALLOCATIONS)
    if found.is_name:
        return ALLOCATIONS[found.name]
    if found.name not in _WITH_ARGUMENTS:
        raise InputError(f"The allocation {found.name} takes no arguments: {allocation!r}.")
    plain = found.plain
    try:
        return _WITH_ARGUMENTS[found.name](*plain.arguments, **plain.options)
    except TypeError as error:
        raise InputError(f"{found.name} does not take these arguments: {error}.") from error


def allocate(
    scores: Mapping[str, Tensor], sparsity: float, allocation: Allocation = "global"
) -> dict[str, Tensor]:
    """Keep exactly ``round(N · (1 − s))`` weights of one network.

    Args:
        scores: Weight name → score of the weight's shape; higher = keep.
        sparsity: s in [0, 1).
        allocation: A key of :data:`ALLOCATIONS`, with arguments or without
            (:func:`make_allocation`), or the density of every layer by weight name.

    Returns:
        Weight name → boolean mask of the weight's shape, true = kept.

    Raises:
        SparsityError: If the sparsity is outside [0, 1), or given densities do not
            amount to it within a weight a layer.
        UnknownNameError: If there is no such allocation.
        InputError: If its arguments do not fit.

    Examples:
        >>> import torch
        >>> from offline_prune.masks import allocate
        >>> scores = {"first": torch.tensor([[4.0, 3.0]]), "second": torch.tensor([[1.0, 2.0]])}
        >>> allocate(scores, 0.5)["first"].tolist()
        [[True, True]]
        >>> allocate(scores, 0.5, "uniform")["first"].tolist()
        [[True, False]]
    """
    check_sparsity(sparsity)
    return make_allocation(allocation)(scores, sparsity)


def _given_densities(
    densities: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]], sparsity: float
) -> dict[str, float]:
    missing = [name for name in shapes if name not in densities]
    if missing or not all(
        isinstance(densities[name], numbers.Real) and 0.0 <= densities[name] <= 1.0
        for name in shapes
    ):
        raise SparsityError(
            "Given densities are one number in [0, 1] for every layer;"
            f" {missing or dict(densities)} is missing or outside."
        )
    total = sum(math.prod(shape) for shape in shapes.values())
    wanted = sum(math.prod(shape) * densities[name] for name, shape in shapes.items())
    # A rounding a layer and one more.
    if abs(wanted - kept_count(total, sparsity)) > len(shapes) + 1:
        amounts_to = 1.0 - wanted / total
        raise SparsityError(
            f"The given densities amount to sparsity {amounts_to:.4f}, not to the"
            f" {sparsity} asked for. Ask for {amounts_to:.4f}, or change them."
        )
    return {name: densities[name] for name in shapes}
