"""The effective rank of a network's features."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_prune.errors import InputError

__all__ = ["srank"]


def srank(features: Tensor, delta: float = 0.01) -> float:
    """Effective rank of a feature matrix.

    ``srank_δ(Φ) = min {k : Σ_{i≤k} σ_i(Φ) / Σ_i σ_i(Φ) ≥ 1 − δ}`` for singular values
    σ_1 ≥ σ_2 ≥ …, computed in double precision.

    Args:
        features: (B, features) of the penultimate layer, one row an input.
        delta: Share δ of the singular values that may be left out, in [0, 1).

    Returns:
        A whole number from 1 to min(B, features); 0 if all features are 0, NaN if one is
        not finite.

    Raises:
        InputError: If the features are not a matrix, or δ is out of range.

    References:
        Kumar, Agarwal, Ghosh & Levine 2021, Implicit under-parameterization inhibits
        data-efficient deep reinforcement learning, arXiv 2010.14498.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import srank
        >>> srank(torch.eye(4)), srank(torch.ones(4, 4))
        (4.0, 1.0)
    """
    if features.ndim != 2 or not features.numel():
        raise InputError(f"Features have the shape (B, features), not {tuple(features.shape)}.")
    if not 0 <= delta < 1:
        raise InputError(f"delta lies in [0, 1), not {delta!r}.")
    matrix = features.detach().double()
    if not bool(matrix.isfinite().all()):
        return float("nan")
    cumulative = torch.linalg.svdvals(matrix).cumsum(dim=0)
    total = cumulative[-1]
    if bool(total == 0):
        return 0.0
    return float((cumulative < (1 - delta) * total).sum() + 1)
