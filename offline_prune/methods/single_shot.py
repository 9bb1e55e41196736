"""Single-shot pruning: score once before training, then keep the mask."""

from __future__ import annotations

from dataclasses import dataclass, field

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.masks.build import build_mask
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningSettings
from offline_prune.saliency.objective import Saliency
from offline_prune.saliency.scoring import score_networks

__all__ = ["SingleShot"]


@dataclass
class SingleShot:
    """Prune once, from the fixed dataset, before the first gradient step.

    Attributes:
        saliency: What scores the weights.
        settings: Sparsities, allocation and scoring mini-batches.
        mask: The mask, once :meth:`before_training` has made it.

    References:
        Arnob, Ohib, Plis, Precup 2021, arXiv 2112.15579.
    """

    saliency: Saliency
    settings: PruningSettings
    mask: Mask | None = field(default=None, init=False)

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Score every network on its training loss and keep the best weights."""
        settings = self.settings
        scores = score_networks(
            agent,
            data,
            self.saliency,
            n_batches=settings.n_batches,
            seed=settings.seed,
        )
        self.mask = build_mask(
            agent,
            scores,
            settings.sparsity,
            settings.allocation,
            share_critics=settings.share_critics,
        )
        return self.mask

    def after_step(self, agent: Agent, step: int) -> Mask | None:
        """Nothing: the mask never changes."""
        return None

    def finish(self, agent: Agent) -> Mask:
        """The mask that training started with."""
        if self.mask is None:
            raise RuntimeError("before_training has not run.")
        return self.mask
