"""Layer densities of Erdős–Rényi-kernel graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

__all__ = ["erk_densities"]


def erk_densities(shapes: Mapping[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Layer densities of the Erdős–Rényi-kernel distribution.

    Formula: ``density_l = ε · Σ dims_l / Π dims_l``, with ε such that the kept weights
    add up to the budget. A layer whose density would pass 1 is made dense and ε is
    solved again for the rest. The budget is ``Σ_l (N_l − ⌊s · N_l⌋)``, rounded layer
    by layer as in the authors' code; an allocation then keeps the exact total.

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
