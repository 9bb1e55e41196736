"""How large a network's parameters are, and how many of its weights are zero."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor

from offline_prune.errors import InputError

__all__ = ["measured_sparsity", "parameter_norm"]


def parameter_norm(parameters: Iterable[Tensor]) -> float:
    """L2 norm of all parameters of a network: ``sqrt(Σ_p p²)``.

    Args:
        parameters: Weights, biases and whatever else is trained.

    Returns:
        The norm, summed up in double precision.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import parameter_norm
        >>> parameter_norm([torch.tensor([3.0]), torch.tensor([4.0])])
        5.0
    """
    return math.sqrt(sum(float(p.detach().double().square().sum()) for p in parameters))


def measured_sparsity(weights: Iterable[Tensor]) -> float:
    """Fraction of weights that are exactly zero: counted, not read from a mask.

    Pruned weights are, and so are those that the mask keeps but that lie on no path from
    an input to an output: it is the effective sparsity that is measured, unless a
    trained weight happens to be 0.

    Args:
        weights: The prunable weights of a network.

    Returns:
        The fraction, in [0, 1].

    Raises:
        InputError: If there is no weight.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import measured_sparsity
        >>> measured_sparsity([torch.tensor([[1.0, 0.0], [0.0, 0.0]])])
        0.75
    """
    zeros, total = 0, 0
    for weight in weights:
        zeros += int((weight.detach() == 0).sum())
        total += weight.numel()
    if not total:
        raise InputError("There is no weight whose sparsity could be measured.")
    return zeros / total
