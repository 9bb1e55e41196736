"""Dormant units: those that hardly ever react to the data."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from offline_prune.diagnostics.networks.hidden_units import unit_activity
from offline_prune.errors import InputError

__all__ = ["dormant_fraction"]


def dormant_fraction(activations: Iterable[Tensor], tau: float = 0.025) -> float:
    """Fraction of dormant units in a network.

    The score of unit i in a layer of H units is ``s_i = E_x|h_i(x)| / (1/H Σ_k
    E_x|h_k(x)|)``; the unit is dormant if ``s_i ≤ τ``. In a layer that is silent
    altogether every unit is. A unit that pruning cut off from its inputs or from its
    readers counts as well when it is silent:
    :func:`~offline_prune.diagnostics.layer_report` tells how many pruning took.

    Args:
        activations: One tensor a hidden layer, measured after the activation function:
            (B, units), or (B, channels, …) for a convolution, whose channels are units.
        tau: Threshold τ ≥ 0.

    Returns:
        Dormant units over all hidden units of the network, in [0, 1]; NaN if an
        activation is not finite.

    Raises:
        InputError: If there is no layer, or τ is negative.

    References:
        Sokar, Agarwal, Castro & Evci 2023, The dormant neuron phenomenon in deep
        reinforcement learning, arXiv 2302.12902.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import dormant_fraction
        >>> dormant_fraction([torch.tensor([[1.0, 0.0], [3.0, 0.0]])])  # the second unit is silent
        0.5
    """
    if not tau >= 0:
        raise InputError(f"tau is a number from 0 on, not {tau!r}.")
    scores = [_scores(activation) for activation in activations]
    if not scores:
        raise InputError("There is no hidden layer to look for dormant units in.")
    found = torch.cat(scores)
    if not bool(found.isfinite().all()):
        return float("nan")
    return float((found <= tau).double().mean())


def _scores(activation: Tensor) -> Tensor:
    """(units,) the scores of a layer; 0 in a silent one, NaN in one that is not finite."""
    mean = unit_activity(activation.double()).mean(dim=0)
    layer = mean.mean()
    return torch.zeros_like(mean) if bool(layer == 0) else mean / layer
