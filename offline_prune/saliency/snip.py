"""SNIP: connection sensitivity."""

from __future__ import annotations

from offline_prune.saliency.objective import Objective, Scores, mean_gradient

__all__ = ["snip"]


def snip(objective: Objective) -> Scores:
    """Score a weight by how much the loss feels its removal.

    Formula: ``score = |w · g|`` with ``g = dL/dw``, the gradient of the mean loss over
    the mini-batches. It equals the absolute gradient of the loss with respect to a
    multiplicative mask at mask = 1, and a positive scaling of the loss scales all
    scores alike.

    Args:
        objective: Weights and losses.

    Returns:
        Weight name → non-negative score of the weight's shape; higher = keep.

    References:
        Lee, Ajanthan, Torr 2019, arXiv 1810.02340; on offline RL: Arnob et al. 2021,
        arXiv 2112.15579.
    """
    gradient = mean_gradient(objective)
    return {
        name: (weight.detach() * gradient[name]).abs() for name, weight in objective.weights.items()
    }
