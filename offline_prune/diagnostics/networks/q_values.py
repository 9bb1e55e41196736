"""Size and spread of the estimated action values."""

from __future__ import annotations

from torch import Tensor

__all__ = ["q_norm", "q_variance"]


def q_norm(values: Tensor) -> float:
    """Root mean square of action values: ``sqrt(1/B Σ_i Q(s_i, a_i)²)``.

    Args:
        values: (B,) values of the actions in the data, mean over the critics.

    Returns:
        The root mean square, in units of the (scaled) return.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import q_norm
        >>> q_norm(torch.tensor([3.0, -3.0]))
        3.0
    """
    return float(values.detach().double().square().mean().sqrt())


def q_variance(values: Tensor) -> float:
    """Variance of action values over states: ``1/B Σ_i (Q(s_i, a_i) − Q̄)²``.

    Args:
        values: (B,) values of the actions in the data, mean over the critics.

    Returns:
        The population variance, in units of the (scaled) return squared.

    Examples:
        >>> import torch
        >>> from offline_prune.diagnostics import q_variance
        >>> q_variance(torch.tensor([1.0, 3.0]))
        1.0
    """
    return float(values.detach().double().var(correction=0))
