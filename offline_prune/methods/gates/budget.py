"""Move the gates' probabilities, and stay within a number of weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from offline_prune.agents.units import UnitGraph

__all__ = ["step_probabilities"]

_BISECTIONS = 30


@torch.no_grad()
def step_probabilities(
    graph: UnitGraph,
    probabilities: Sequence[Tensor],
    gradients: Sequence[Tensor],
    alive: Sequence[Tensor],
    learning_rate: float,
    *,
    budget: float,
    cost: float | None = None,
) -> tuple[list[Tensor], float]:
    """One projected gradient step of the probabilities.

    Formula: ``θ ← Π[0,1](θ − η·(g + ν·∂P/∂θ) / rms(g))``, and 0 for dead units.
    ν is the multiplier of the constraint ``P(θ) ≤ budget``: the smallest ν ≥ 0 with which
    the step satisfies it, found by bisection; or the given cost where that is less.

    Args:
        graph: The units.
        probabilities: θ of each layer, (size,).
        gradients: g, the derivative of the expected loss, of the same shapes.
        alive: (size,) boolean of each layer.
        learning_rate: η.
        budget: Weights that may be expected.
        cost: Loss a weight; the most that ν may be. None for no limit.

    Returns:
        The new θ, and ν.
    """
    costs = graph.expected_weights_gradient(probabilities)
    size = torch.cat([g.flatten() for g in gradients]).square().mean().sqrt().clamp_min(1e-12)

    def moved(multiplier: float) -> list[Tensor]:
        return [
            (p - learning_rate * (g + multiplier * c) / size).clamp(0.0, 1.0) * a
            for p, g, c, a in zip(probabilities, gradients, costs, alive, strict=True)
        ]

    found = moved(0.0)
    if float(graph.expected_weights(found)) <= budget:
        return found, 0.0
    low, high = 0.0, float(size) / max(float(c.max()) for c in costs)
    while float(graph.expected_weights(moved(high))) > budget and high < 1e30:
        low, high = high, 2.0 * high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if float(graph.expected_weights(moved(middle))) > budget:
            low = middle
        else:
            high = middle
    multiplier = high if cost is None else min(cost, high)
    return moved(multiplier), multiplier
