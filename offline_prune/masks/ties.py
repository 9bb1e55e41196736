"""Scores of exactly zero in a random order."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["zeros_at_random"]


def zeros_at_random(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Tell zeros apart, so that those which are kept are not the first of their layer.

    Dead units and networks that took no step have scores of 0 by the row; equal scores are
    kept in the order of their indices.

    Args:
        scores: Any shape, finite.
        generator: Of a random order, on the CPU.

    Returns:
        The scores in float64; zeros are random numbers nearer to 0 than any other score.
    """
    found = scores.detach().double()
    zeros = found == 0.0
    count = int(zeros.sum())
    if count < 2:
        return found
    others = found.abs()[~zeros]
    nearest = float(others.min()) if len(others) else 1.0
    noise = torch.rand(count, generator=generator, dtype=torch.float64)
    found = found.clone()
    found[zeros] = (0.5 * nearest * noise).to(found.device)
    return found
