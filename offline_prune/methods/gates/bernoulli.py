"""A Bernoulli gate on every unit, and the gradient of its probability."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["bernoulli_gate", "gate_weight"]

_SMALLEST = 0.01
"""Probabilities nearer to 0 or 1 count as this: bounds the variance at the edges."""


def gate_weight(gate: Tensor, probability: Tensor) -> Tensor:
    """Weight that makes a one-sided derivative an estimate of the difference.

    Formula: ``w(ξ) = ξ / (2θ) + (1 − ξ) / (2(1 − θ))``, θ kept in [.01, .99].

    Args:
        gate: ξ, zeros and ones, (B, n).
        probability: θ, (n,).

    Returns:
        w(ξ), (B, n).
    """
    bounded = probability.clamp(_SMALLEST, 1.0 - _SMALLEST)
    return 0.5 * (gate / bounded + (1.0 - gate) / (1.0 - bounded))


class _BernoulliGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, units: Tensor, probability: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(units, probability, gate)
        return units * gate[..., None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        units, probability, gate = ctx.saved_tensors
        (gradient,) = gradients
        slope = (gradient * units).sum(dim=2)  # ∂L/∂ξ of each example
        estimate = (slope * gate_weight(gate, probability)).sum(dim=0)
        return gradient * gate[..., None], estimate, None


def bernoulli_gate(units: Tensor, probability: Tensor, gate: Tensor) -> Tensor:
    """Multiply units by sampled gates; differentiable in the gates' probabilities.

    With ξ ~ Bernoulli(θ) on every unit and example, the objective is ``E = E_ξ[L(W, ξ)]``,
    multilinear in θ, and ``∂E/∂θ_j = E[L | ξ_j = 1] − E[L | ξ_j = 0]``. The difference is
    taken by the trapezoid rule, ``½(∂L/∂ξ_j|₀ + ∂L/∂ξ_j|₁)``, which is exact where L is
    quadratic in each gate on its own; one sample sees one of the two slopes, weighted by
    :func:`gate_weight`, and the expectation over ξ is the rule's value. One backward pass
    serves weights and probabilities. Where θ is within .01 of an edge the slope that is
    hardly ever sampled counts for less.

    Args:
        units: (B, n, r) activations; r numbers a unit, all with its gate.
        probability: θ, (n,).
        gate: ξ, zeros and ones, (B, n), drawn from θ.

    Returns:
        (B, n, r) gated activations.

    References:
        The objective: Guenter, Sideris 2025, arXiv 2507.11975. The estimator is this
        package's own.
    """
    found: Tensor = _BernoulliGate.apply(units, probability, gate)  # type: ignore[no-untyped-call]
    return found
