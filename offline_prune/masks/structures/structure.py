"""What every structure of a mask answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.network import Network

__all__ = ["Structure", "places", "put_last"]


@dataclass(frozen=True)
class Structure:
    """Changes the order in which weights are kept; an allocation says how many.

    An allocation keeps the highest scores, of a network or of each layer. A structure
    hands it numbers in another order, so that counts stay exact under every allocation.
    """

    def check(self, agent: Agent, sparsity: Mapping[str, float]) -> None:
        """Refuse, before anything is scored, an agent that it does not suit.

        Args:
            agent: The agent.
            sparsity: Role → sparsity in [0, 1).

        Raises:
            InputError: If it does not suit the agent.
        """

    def least_sparsity(self, network: Network) -> float:
        """The lowest sparsity of a network that the structure allows; 0 by default."""
        return 0.0

    def ordered(
        self,
        agent: Agent,
        scores: Mapping[str, Mapping[str, Tensor]],
        sparsity: Mapping[str, float],
        within: Mapping[str, Tensor],
    ) -> dict[str, dict[str, Tensor]]:
        """Put weights into the structure's order.

        Args:
            agent: The agent the scores belong to.
            scores: Role → weight name → score; higher = keep.
            sparsity: Role → sparsity in [0, 1).
            within: Weight name → boolean: weights that may be kept. The others come last.

        Returns:
            Role → weight name → float64 of the weight's shape; higher = keep.
        """
        raise NotImplementedError

    def verify(self, kept: Mapping[str, Tensor]) -> None:
        """Look at the mask that an allocation made of the order; nothing by default.

        Args:
            kept: Weight name → boolean mask.

        Raises:
            InputError: If it is none of this structure.
        """


def put_last(scores: Mapping[str, Tensor], allowed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put some weights of a network behind all others.

    Args:
        scores: Weight name → score; higher = keep.
        allowed: Weight name → boolean: those that stay as they are.

    Returns:
        Weight name → float64; the rest keep their order below the lowest score of all.
    """
    low = min(float(score.min()) for score in scores.values())
    high = max(float(score.max()) for score in scores.values())
    return {
        name: torch.where(allowed[name], found := score.double(), found - (high - low) - 1.0)
        for name, score in scores.items()
    }


def places(scores: Tensor) -> Tensor:
    """Where each number stands among all.

    Args:
        scores: (N,).

    Returns:
        (N,) of the same type: 0 for the highest; ties in order.
    """
    found = torch.empty_like(scores)
    order = scores.argsort(descending=True, stable=True)
    found[order] = torch.arange(len(scores), device=scores.device, dtype=scores.dtype)
    return found
