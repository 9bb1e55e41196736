"""SET, sparse evolutionary training: what grows is drawn at random."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.engines import FollowingEngine
from offline_prune.methods.dynamic_sparse import DynamicSparse

__all__ = ["SparseEvolutionary"]


class SparseEvolutionary(DynamicSparse):
    """Drop the smallest weights and grow random ones.

    New weights start at 0 and the exchanged fraction falls as a cosine, as in RigL, where
    the original draws new weights at random and keeps the fraction.

    References:
        Mocanu et al. 2018, Nature Communications 9, 2383.
    """

    def growth(self, agent: Agent, engine: FollowingEngine) -> Mapping[str, Tensor]:
        """Uniform noise."""
        return self.noise(agent)
