"""RigL: what grows is where the gradient is steepest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.engines import FollowingEngine
from offline_prune.methods.dynamic_sparse import DynamicSparse

__all__ = ["RigL"]


class RigL(DynamicSparse):
    """Drop the smallest weights and grow those whose loss gradient is largest.

    The gradient is the dense one of the last gradient step, of the network's own loss.
    It is computed for that step alone; in between only kept weights are trained. A network
    that takes no step then, as TD3's delayed actor, exchanges after its next one.

    References:
        Evci, Gale, Menick, Castro, Elsen 2020, arXiv 1911.11134.
    """

    wants_gradients: ClassVar[bool] = True

    def growth(self, agent: Agent, engine: FollowingEngine) -> Mapping[str, Tensor]:
        """``|g|`` of every weight whose network was stepped since its mask was held."""
        return {name: gradient.abs() for name, gradient in engine.gradients().items()}
