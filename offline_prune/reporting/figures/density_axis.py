"""An x axis of sparsities, logarithmic in the weights that are left."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

__all__ = ["density_axis", "dodge"]

_APART = 0.09  # of the axis, between two labels


def density_axis(axes: Any, densities: Iterable[float]) -> None:
    """Label an axis of densities with sparsities, sparser to the right.

    Args:
        axes: Matplotlib's; its x values are densities in (0, 1].
        densities: Those that occur; labels that would overlap are left out.
    """
    places = sorted(set(densities), reverse=True)
    span = math.log(places[0] / places[-1]) or 1.0
    chosen: list[float] = []
    for place in places:
        if not chosen or math.log(chosen[-1] / place) / span >= _APART:
            chosen.append(place)
    axes.set_xscale("log")
    margin = math.exp(0.07 * span)
    axes.set_xlim(places[0] * margin, places[-1] / margin)
    axes.set_xticks(chosen, [f"{100 * (1 - place):.3g}" for place in chosen])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("sparsity (% of weights removed)")


def dodge(density: float, number: int, of: int, width: float = 0.08) -> float:
    """Move a point a little sideways, so that error bars do not cover one another.

    Args:
        density: Where it belongs.
        number: Of the method, from 0.
        of: Methods.
        width: Of all methods together, as a part of the density.

    Returns:
        Where it is drawn, at most half the width away.
    """
    return density * math.exp(-width * ((number + 0.5) / of - 0.5))
