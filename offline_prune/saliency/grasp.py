"""GraSP: keep the weights whose removal would hurt the gradient flow."""

from __future__ import annotations

from offline_prune.saliency.objective import Objective, Scores, hessian_gradient

__all__ = ["grasp"]


def grasp(objective: Objective) -> Scores:
    """Score a weight by what its removal does to the gradient norm.

    The paper removes the weights of **highest** ``-w · (H g)``. Scores here are
    higher = keep, so this returns the negative: ``score = w · (H g)``. ``H g`` is the
    product of the Hessian and the gradient of the same mean loss, with the same
    mini-batches, bootstrap targets and noise in both passes. No temperature: the
    paper's T = 200 is for softmax cross-entropy, and T = 1 for MSE, TD and
    log-probability losses.

    A discrete TD loss is Huber and has no curvature where ``|TD error| ≥ 1``; such
    samples add nothing to ``H``.

    Args:
        objective: Weights and losses.

    Returns:
        Weight name → signed score of the weight's shape; higher = keep.

    References:
        Wang, Zhang, Grosse 2020, arXiv 2002.07376, equation 8.
    """
    product = hessian_gradient(objective)
    return {name: weight.detach() * product[name] for name, weight in objective.weights.items()}
