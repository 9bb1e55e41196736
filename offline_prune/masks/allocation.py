"""From scores to an exact number of kept weights.

Every function keeps exactly ``round(N · (1 − sparsity))`` of a network's N weights, at
least one. Ties are broken by flat index, so the same scores always give the same mask.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

import torch
from torch import Tensor

from offline_prune.errors import SparsityError, UnknownNameError
from offline_prune.masks.counts import check_sparsity, keep_highest, kept_count

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "allocate",
    "check_sparsity",
    "erk_densities",
    "final_densities",
    "keep_highest",
    "kept_count",
]


def erk_densities(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Layer densities of the Erdős–Rényi-kernel distribution.

    Formula: ``density_l = ε · Σ dims_l / Π dims_l``, with ε such that the kept weights
    add up to the budget. A layer whose density would pass 1 is made dense and ε is
    solved again for the rest. The budget is ``Σ_l (N_l − ⌊s · N_l⌋)``, rounded layer
    by layer as in the authors' code; :func:`allocate` then keeps the exact total.

    Args:
        shapes: Weight name → shape, ``(out, in)`` or ``(out, in, kernel h, kernel w)``.
        sparsity: s in [0, 1).

    Returns:
        Weight name → density in (0, 1].

    References:
        Evci et al. 2020, arXiv 1911.11134, section 3.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    removed = Fraction(str(float(sparsity)))
    budget = sum(size - math.floor(removed * size) for size in sizes.values())
    dense: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in dense]
        left = budget - sum(sizes[name] for name in dense)
        epsilon = left / sum(raw[name] * sizes[name] for name in rest) if rest else 0.0
        over = {name for name in rest if epsilon * raw[name] > 1.0}
        if not over:
            break
        dense |= over
    return {name: 1.0 if name in dense else epsilon * raw[name] for name in shapes}


def final_densities(
    shapes: Mapping[str, Mapping[str, tuple[int, ...]]],
    sparsity: Mapping[str, float],
    allocation: Allocation,
) -> dict[str, float]:
    """Layer densities of an allocation that does not look at scores.

    Args:
        shapes: Role → weight name → shape.
        sparsity: Role → sparsity in [0, 1).
        allocation: ``"uniform"``, ``"erk"``, or the density of every layer by weight name.

    Returns:
        Weight name → density in [0, 1].

    Raises:
        UnknownNameError: If the allocation fixes no layer densities.
    """
    if isinstance(allocation, Mapping):
        return dict(allocation)
    found: dict[str, float] = {}
    for role, layers in shapes.items():
        if allocation == "erk":
            found |= erk_densities(layers, sparsity[role])
        elif allocation == "uniform":
            found |= dict.fromkeys(layers, 1.0 - sparsity[role])
        else:
            raise UnknownNameError("allocation of fixed layer densities", allocation, _FIXED)
    return found


_FIXED = ("erk", "uniform")


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


def _per_layer(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    return {name: keep_highest(score, counts[name]) for name, score in scores.items()}


def _global(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    flat = torch.cat([score.detach().reshape(-1) for score in scores.values()])
    mask = keep_highest(flat, kept_count(flat.numel(), sparsity))
    parts = mask.split([score.numel() for score in scores.values()])
    return {
        name: part.reshape(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def _uniform(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    sizes = {name: score.numel() for name, score in scores.items()}
    wanted = {name: size * (1.0 - sparsity) for name, size in sizes.items()}
    total = kept_count(sum(sizes.values()), sparsity)
    return _per_layer(scores, _whole_counts(wanted, sizes, total))


def _erk(scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    sizes = {name: score.numel() for name, score in scores.items()}
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    densities = erk_densities(shapes, sparsity)
    wanted = {name: size * densities[name] for name, size in sizes.items()}
    total = kept_count(sum(sizes.values()), sparsity)
    return _per_layer(scores, _whole_counts(wanted, sizes, total))


ALLOCATIONS: dict[str, Callable[[Mapping[str, Tensor], float], dict[str, Tensor]]] = {
    "global": _global,
    "uniform": _uniform,
    "erk": _erk,
}
"""Allocation name → function of (scores of one network, sparsity) to its mask.

``global``: one threshold over the whole network (the paper's choice); ``uniform``: the
same density in every layer; ``erk``: Erdős–Rényi-kernel layer densities.
"""


Allocation: TypeAlias = str | Mapping[str, float]
"""A key of :data:`ALLOCATIONS`, or weight name → density in [0, 1]."""


def allocate(
    scores: Mapping[str, Tensor], sparsity: float, allocation: Allocation = "global"
) -> dict[str, Tensor]:
    """Keep exactly ``round(N · (1 − s))`` weights of one network.

    Args:
        scores: Weight name → score of the weight's shape; higher = keep.
        sparsity: s in [0, 1).
        allocation: ``"global"``, ``"uniform"``, ``"erk"``, or the density of every
            layer by weight name.

    Returns:
        Weight name → boolean mask of the weight's shape, true = kept.

    Raises:
        SparsityError: If the sparsity is outside [0, 1), or given densities do not
            amount to it within a weight a layer.
        UnknownNameError: If there is no such allocation.
    """
    check_sparsity(sparsity)
    if isinstance(allocation, Mapping):
        return _given(scores, sparsity, allocation)
    if not isinstance(allocation, str) or allocation not in ALLOCATIONS:
        raise UnknownNameError("allocation", str(allocation), ALLOCATIONS)
    return ALLOCATIONS[allocation](scores, sparsity)


def _given(
    scores: Mapping[str, Tensor], sparsity: float, densities: Mapping[str, float]
) -> dict[str, Tensor]:
    sizes = {name: score.numel() for name, score in scores.items()}
    missing = [name for name in scores if name not in densities]
    if missing or not all(
        isinstance(densities[name], numbers.Real) and 0.0 <= densities[name] <= 1.0
        for name in scores
    ):
        raise SparsityError(
            "Given densities are one number in [0, 1] for every layer;"
            f" {missing or dict(densities)} is missing or outside."
        )
    wanted = {name: size * densities[name] for name, size in sizes.items()}
    total = kept_count(sum(sizes.values()), sparsity)
    if abs(sum(wanted.values()) - total) > len(sizes) + 1:  # a rounding a layer and one more
        amounts_to = 1.0 - sum(wanted.values()) / sum(sizes.values())
        raise SparsityError(
            f"The given densities amount to sparsity {amounts_to:.4f}, not to the"
            f" {sparsity} asked for. Ask for {amounts_to:.4f}, or change them."
        )
    return _per_layer(scores, _whole_counts(wanted, sizes, total))
