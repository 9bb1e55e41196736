"""What a saliency sees: weights, and one loss a mini-batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Objective",
    "Saliency",
    "Scores",
    "hessian_gradient",
    "hessian_product",
    "mean_gradient",
]

Scores: TypeAlias = dict[str, Tensor]
"""Weight name → score tensor of the weight's shape. Higher = keep."""


@dataclass(frozen=True)
class Objective:
    """The weights to score and the training loss on each mini-batch.

    Attributes:
        weights: Qualified name → weight that requires a gradient.
        losses: One callable a mini-batch, each returning the scalar training loss.
            Calling one again gives the same value: the mini-batch, the bootstrap
            target and the action noise are fixed.
        seed: For scores that draw noise.
    """

    weights: Mapping[str, Tensor]
    losses: Sequence[Callable[[], Tensor]]
    seed: int = 0


Saliency: TypeAlias = Callable[[Objective], Scores]
"""A score for every weight of an objective; one file a saliency."""


def mean_gradient(objective: Objective) -> Scores:
    """Gradient of the mean loss over the mini-batches.

    Formula: ``g = (1/B) Σ_b ∇_w L_b(w)``. ``torch.autograd.grad`` on these weights
    alone: no ``.grad`` field is touched and nothing leaks from other networks' losses.

    Args:
        objective: Weights and losses.

    Returns:
        Weight name → gradient of the weight's shape; zeros for a weight that the loss
        does not use.
    """
    weights = list(objective.weights.values())
    total = [torch.zeros_like(weight) for weight in weights]
    for loss in objective.losses:
        gradients = torch.autograd.grad(loss(), weights, materialize_grads=True)
        torch._foreach_add_(total, gradients)
    torch._foreach_div_(total, float(len(objective.losses)))
    return dict(zip(objective.weights, total, strict=True))


def hessian_gradient(objective: Objective) -> Scores:
    """Product of the mean loss's Hessian with its gradient, ``H g``.

    Double backward: ``H g = ∇_w (∇_w L(w) · stop(g))`` with ``g`` and ``L`` the means
    over the mini-batches. With one mini-batch a single graph serves both passes; with
    several, the second pass evaluates every loss again on the same mini-batch, target
    and noise.

    Args:
        objective: Weights and losses.

    Returns:
        Weight name → ``H g`` of the weight's shape.

    References:
        Pearlmutter 1994, fast exact multiplication by the Hessian.
    """
    weights = list(objective.weights.values())
    single = len(objective.losses) == 1
    mean = None if single else list(mean_gradient(objective).values())
    total = [torch.zeros_like(weight) for weight in weights]
    for loss in objective.losses:
        gradients = torch.autograd.grad(loss(), weights, create_graph=True, materialize_grads=True)
        direction = [g.detach() for g in gradients] if mean is None else mean
        torch._foreach_add_(total, hessian_product(gradients, weights, direction))
    torch._foreach_div_(total, float(len(objective.losses)))
    return dict(zip(objective.weights, total, strict=True))


def hessian_product(
    gradients: Sequence[Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor]
) -> list[Tensor]:
    """Product of the Hessian with a direction, ``H v = ∇_w (∇_w L(w) · v)``.

    Args:
        gradients: Of the loss by the weights, with their graph.
        weights: The weights.
        direction: v, a tensor of each weight's shape; taken as constant.

    Returns:
        A tensor of each weight's shape.

    References:
        Pearlmutter 1994, fast exact multiplication by the Hessian.
    """
    inner = torch.stack([(g * d).sum() for g, d in zip(gradients, direction, strict=True)]).sum()
    if not inner.requires_grad:  # a loss linear in the weights has no curvature
        return [torch.zeros_like(weight) for weight in weights]
    return list(torch.autograd.grad(inner, weights, materialize_grads=True))
