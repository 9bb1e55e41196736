"""What every pruning method does: before training, after each step, at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.masks.mask import Mask

__all__ = ["PruningMethod", "PruningSettings"]


@dataclass(frozen=True)
class PruningSettings:
    """What the user asked of a pruning method.

    Attributes:
        sparsity: Role → fraction of that network's prunable weights to remove.
        allocation: ``"global"``, ``"uniform"`` or ``"erk"``.
        n_batches: Mini-batches of 256 transitions to score on.
        share_critics: Whether all critics share one threshold.
        seed: Of mini-batches, noise and random scores.
        n_steps: Gradient steps that training will take.
    """

    sparsity: Mapping[str, float]
    allocation: str = "global"
    n_batches: int = 1
    share_critics: bool = False
    seed: int = 0
    n_steps: int = 0


class PruningMethod(Protocol):
    """Decides when connections go. One file a method."""

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Return the mask that training starts with; leave the agent as it is."""
        ...

    def after_step(self, agent: Agent, step: int) -> Mask | None:
        """Return a new mask after gradient step ``step`` (from 1), None to keep it."""
        ...

    def finish(self, agent: Agent) -> Mask:
        """Return the final mask."""
        ...
