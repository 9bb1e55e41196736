"""Exact numbers of kept weights, and the highest scores."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from offline_prune.errors import SparsityError

__all__ = [
    "add_highest",
    "check_sparsity",
    "keep_highest",
    "kept_count",
    "kept_in",
    "with_added",
]


def check_sparsity(sparsity: float) -> float:
    """Return the sparsity as a float.

    Args:
        sparsity: Fraction of the prunable weights to remove.

    Returns:
        The same number.

    Raises:
        SparsityError: If it is not a number in [0, 1).
    """
    if isinstance(sparsity, bool | np.bool_) or not isinstance(sparsity, numbers.Real):
        raise SparsityError(
            f"A sparsity is a number in [0, 1), not {sparsity!r}. It is the fraction of"
            " the prunable weights to remove: 0.95 keeps 5 %."
        )
    if not 0.0 <= sparsity < 1.0:  # NaN fails this too
        hint = " Did you mean a percentage?" if 1.0 < sparsity <= 100.0 else ""
        raise SparsityError(
            f"Sparsity {sparsity!r} is outside [0, 1).{hint} It is the fraction of the"
            " prunable weights to remove: 0.95 keeps 5 %."
        )
    # Of a numpy float of lower precision the decimal number counts that it was made from.
    return float(str(sparsity)) if isinstance(sparsity, np.floating) else float(sparsity)


def kept_count(n_weights: int, sparsity: float) -> int:
    """Number of weights to keep: ``round(N · (1 − s))``, at least 1.

    Args:
        n_weights: N, at least 1.
        sparsity: s in [0, 1).

    Returns:
        The count; an exact half goes to the even number, as in Python's ``round``.

    Examples:
        >>> from offline_prune.masks import kept_count
        >>> kept_count(65_536, 0.95)
        3277
    """
    # The decimal number that was written counts, not its binary neighbour.
    return max(1, round(n_weights * (1 - Fraction(str(float(sparsity))))))


def _kth_highest(flat: Tensor, k: int) -> float:
    """The k-th highest entry; on a CPU numpy's partial sort beats ``torch.topk``."""
    if flat.device.type == "cpu":
        split = flat.numel() - k
        return float(np.partition(flat.numpy(), split)[split])
    return float(torch.topk(flat, k, sorted=False).values.min())


def keep_highest(scores: Tensor, count: int) -> Tensor:
    """Mask of the ``count`` highest scores; ties go to the lower flat index.

    Args:
        scores: Scores of any shape, finite.
        count: How many to keep, in [0, number of scores].

    Returns:
        Boolean mask of the scores' shape with exactly ``count`` true entries.
    """
    flat = scores.detach().reshape(-1)
    n = flat.numel()
    if count >= n:
        return torch.ones_like(scores, dtype=torch.bool)
    if count <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = _kth_highest(flat, count)
    mask = flat > threshold
    missing = count - int(mask.sum())
    tied = (flat == threshold).nonzero().squeeze(1)
    mask[tied[:missing]] = True
    return mask.reshape(scores.shape)


def kept_in(mask: Mapping[str, Tensor]) -> int:
    """Number of true entries of all layers together."""
    return sum(int(part.sum()) for part in mask.values())


def add_highest(
    chosen: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    allowed: Mapping[str, Tensor],
    budget: int,
) -> dict[str, Tensor]:
    """Add the highest allowed scores of all layers until a budget is spent or none is left.

    Args:
        chosen: Weight name → boolean mask; stays chosen. At most ``budget`` weights.
        scores: Weight name → score of the mask's shape, also of further weights.
        allowed: Weight name → boolean of the mask's shape: which may be added.
        budget: Weights to keep in all.

    Returns:
        Weight name → boolean mask, a superset of ``chosen``; ties go to the lower index
        in the order of ``chosen``.
    """
    candidates = torch.cat([(allowed[n] & ~m).flatten() for n, m in chosen.items()])
    flat = torch.cat([scores[n].flatten() for n in chosen])[candidates]
    added = torch.zeros_like(candidates)
    added[candidates] = keep_highest(flat, min(budget - kept_in(chosen), len(flat)))
    return with_added(chosen, added)


def with_added(chosen: Mapping[str, Tensor], added: Tensor) -> dict[str, Tensor]:
    """Join a mask of all layers, laid end to end, to the mask of each.

    Args:
        chosen: Weight name → boolean mask.
        added: Flat booleans of all of them, in their order.

    Returns:
        Weight name → boolean mask, true where either is.
    """
    parts = added.split([mask.numel() for mask in chosen.values()])
    return {
        name: mask | part.view(mask.shape)
        for (name, mask), part in zip(chosen.items(), parts, strict=True)
    }
