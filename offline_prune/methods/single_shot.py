"""Single-shot pruning: score once before training, then keep the mask."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod, PruningSettings
from offline_prune.saliency.objective import Saliency

__all__ = ["SingleShot"]


class SingleShot(PruningMethod):
    """Prune once, from the fixed dataset, before the first gradient step.

    References:
        Arnob, Ohib, Plis, Precup 2021, arXiv 2112.15579.

    Examples:
        >>> from offline_prune import score
        >>> from offline_prune.methods import SingleShot
        >>> from offline_prune.saliency.objective import mean_gradient
        >>> def gradient(objective):
        ...     return {name: g.abs() for name, g in mean_gradient(objective).items()}
        >>> def method(settings):
        ...     return SingleShot(gradient, settings)
        >>> print(f"{score('pendulum/mixture-v0', 'bc', 0.9, method=method).mask.sparsity:.2f}")
        0.90
    """

    def __init__(self, saliency: Saliency, settings: PruningSettings) -> None:
        """Prepare.

        Args:
            saliency: What scores the weights.
            settings: Sparsities, allocation and scoring mini-batches.
        """
        super().__init__(settings)
        self.saliency = saliency

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Score every network on its training loss and keep the best weights."""
        self.scores = self.settings.score(agent, data, self.saliency)
        self.mask = self.settings.build(agent, self.scores)
        return self.mask
