"""Magnitude: the size of the weight itself."""

from __future__ import annotations

from offline_prune.saliency.objective import Objective, Scores

__all__ = ["magnitude"]


def magnitude(objective: Objective) -> Scores:
    """Score a weight by its absolute value, ``score = |w|``.

    Needs no data. With one threshold over a network this ranks layers by the scale of
    their initialisation: the layers with many inputs start small and go first.

    Args:
        objective: The weights; the losses are not used.

    Returns:
        Weight name → non-negative score of the weight's shape; higher = keep.
    """
    return {name: weight.detach().abs() for name, weight in objective.weights.items()}
