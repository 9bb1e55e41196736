"""Random: the control that every saliency has to beat."""

from __future__ import annotations

import torch

from offline_prune.saliency.objective import Objective, Scores

__all__ = ["random"]


def random(objective: Objective) -> Scores:
    """Score every weight by independent uniform noise in [0, 1).

    With the global allocation every weight of a network is as likely to stay as any
    other; with ``"uniform"`` or ``"erk"`` the layer densities are fixed and the
    weights within a layer are drawn at random.

    Args:
        objective: The weights and the seed; the losses are not used.

    Returns:
        Weight name → score of the weight's shape; higher = keep.
    """
    generator = torch.Generator().manual_seed(objective.seed)
    return {
        name: torch.rand(weight.shape, generator=generator).to(weight.device)
        for name, weight in objective.weights.items()
    }
