"""Fisher: the squared gradient weighs the squared weight."""

from __future__ import annotations

import torch

from offline_prune.saliency.objective import Objective, Scores

__all__ = ["fisher"]


def fisher(objective: Objective) -> Scores:
    """Score a weight by the diagonal of the empirical Fisher information.

    Formula: ``score = w² · F`` with ``F = (1/B) Σ_b g_b²``, g_b the gradient of the loss
    on mini-batch b. The square comes before the mean, so that gradients of different
    mini-batches do not cancel: the square of the mean gradient would rank weights exactly
    as SNIP does, and on one mini-batch it does. Gradients of single examples are not to
    be had: some losses mix them (TD3+BC divides by the mini-batch's mean ``|Q|``).

    Args:
        objective: Weights and losses.

    Returns:
        Weight name → non-negative float64 score of the weight's shape; higher = keep.

    References:
        Theis, Korshunova, Tejani, Huszár 2018, arXiv 1801.05787; there examples, not
        mini-batches.
    """
    weights = list(objective.weights.values())
    # In float64: the square of a gradient below 1e-23 is zero in float32.
    total = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
    for loss in objective.losses:
        gradients = torch.autograd.grad(loss(), weights, materialize_grads=True)
        torch._foreach_add_(total, [gradient.double().square() for gradient in gradients])
    return {
        name: weight.detach().double().square() * squares / len(objective.losses)
        for (name, weight), squares in zip(objective.weights.items(), total, strict=True)
    }
