"""A global threshold that leaves no layer below a minimum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.masks.counts import add_highest, keep_highest, kept_count, kept_in

__all__ = ["DEFAULT_FAN_IN", "Floor"]

DEFAULT_FAN_IN = 4.0
"""Weights a unit where no floor is named. To be chosen by measurement."""


@dataclass(frozen=True)
class Floor:
    """Every layer keeps its best weights up to a floor; one threshold chooses the rest.

    Formula: with ``fan_in`` the floor of a layer is ``min(N_l, ⌈fan_in · units_l⌉)``
    weights, so that its units (outputs, filters) keep at least ``fan_in`` on average; with
    ``density`` it is ``⌈density · N_l⌉``. Floors f_l that add up to more than the budget B
    are scaled down alike, above a first weight a layer:
    ``1 + ⌊(f_l − 1) · (B − L) / (Σ f − L)⌋`` for L layers. A budget below L has no floors.

    Floors never rise as the budget falls, and where scores say that a weight may not
    return (the lowest of all) it does not, as long as enough others are left.

    Attributes:
        fan_in: Least mean number of kept weights a unit of a layer; None without one.
        density: Least density of a layer instead; None without one. Neither:
            :data:`DEFAULT_FAN_IN`.
    """

    fan_in: float | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: If both are given, the fan-in is no finite number above 0, or the
                density none in (0, 1].
        """
        if self.fan_in is not None and self.density is not None:
            raise InputError("A floor is a fan_in or a density, not both.")
        for name, most in (("fan_in", math.inf), ("density", 1.0)):
            if (given := getattr(self, name)) is None:
                continue
            value = finite_number(f"{name} of a floor", given)
            if not 0.0 < value <= most:
                limit = f" and at most {most:g}" if most < math.inf else ""
                raise InputError(f"{name} of a floor is above 0{limit}, not {value:g}.")
            object.__setattr__(self, name, value)

    def __call__(self, scores: Mapping[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """Keep exactly ``round(N · (1 − s))`` weights of one network.

        Args:
            scores: Weight name → score of the weight's shape; higher = keep.
            sparsity: s in [0, 1).

        Returns:
            Weight name → boolean mask of the weight's shape; ties go to the lower index.
        """
        total = kept_count(sum(score.numel() for score in scores.values()), sparsity)
        least = self.counts({n: tuple(score.shape) for n, score in scores.items()}, total)
        first = {name: keep_highest(score, least[name]) for name, score in scores.items()}
        everything = {name: torch.ones_like(mask) for name, mask in first.items()}
        return add_highest(first, scores, everything, total)

    def counts(self, shapes: Mapping[str, tuple[int, ...]], total: int) -> dict[str, int]:
        """The floors of layers at a budget.

        Args:
            shapes: Weight name → shape, ``(out, in)`` or ``(out, in, kernel h, kernel w)``.
            total: The budget, B.

        Returns:
            Weight name → number of weights; at most ``total`` in all.
        """
        wanted = {name: self._wanted(shape) for name, shape in shapes.items()}
        layers, asked = len(wanted), sum(wanted.values())
        if asked <= total:
            return wanted
        if total < layers:
            return dict.fromkeys(wanted, 0)
        return {n: 1 + (f - 1) * (total - layers) // (asked - layers) for n, f in wanted.items()}

    def _wanted(self, shape: tuple[int, ...]) -> int:
        # The decimal number that was written counts, not its binary neighbour.
        if self.density is not None:
            return math.ceil(Fraction(str(self.density)) * math.prod(shape))
        fan_in = DEFAULT_FAN_IN if self.fan_in is None else self.fan_in
        return min(math.prod(shape), math.ceil(Fraction(str(fan_in)) * shape[0]))

    def complete(
        self,
        chosen: Mapping[str, Tensor],
        scores: Mapping[str, Tensor],
        allowed: Mapping[str, Tensor],
        budget: int,
    ) -> dict[str, Tensor]:
        """Raise the layers of a mask to the floors again, after some of it was dropped.

        Args:
            chosen: Weight name → boolean mask; stays chosen.
            scores: Weight name → score of the mask's shape, also of further weights.
            allowed: Weight name → boolean: which may be added.
            budget: Weights to keep in all, which says what the floors are.

        Returns:
            Weight name → boolean mask, a superset of ``chosen``. A part of a mask of
            ``budget`` weights that has its floors stays within the budget.
        """
        least = self.counts({n: tuple(mask.shape) for n, mask in chosen.items()}, budget)
        return {
            name: add_highest(
                {name: mask}, scores, allowed, max(least[name], kept_in({name: mask}))
            )[name]
            for name, mask in chosen.items()
        }
