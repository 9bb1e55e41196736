"""A pruning method's clock: what happens before, after each step and at the end of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.engines import FollowingEngine
from offline_prune.masks.collapse import warn_of_collapse
from offline_prune.masks.mask import Mask
from offline_prune.masks.parameterization import STANDARD, Parameterization
from offline_prune.methods.initial_weights import scale_weights
from offline_prune.methods.method import PruningMethod

__all__ = ["Clock"]


@dataclass(frozen=True)
class Clock:
    """Asks a method for masks and gives them to an engine, whoever trains the agent.

    Attributes:
        agent: The agent.
        method: Decides when connections go.
        engine: Holds the mask.
    """

    agent: Agent
    method: PruningMethod
    engine: FollowingEngine

    def begin(self, data: Any, parameterization: Parameterization = STANDARD) -> Mask:
        """Choose the first mask and the initial weights, and hold the mask.

        Args:
            data: What the agent trains on, as its host draws mini-batches from it.
            parameterization: Of the initial weights.

        Returns:
            The mask.
        """
        mask = self.method.before_training(self.agent, data)
        warn_of_collapse(self.agent, mask)
        self.method.initialise(self.agent, mask)
        scale_weights(self.agent, parameterization.initial_factors(mask.nominal))
        self.engine.attach(mask, self.method.regrowth)
        return mask

    def tick(self, step: int) -> None:
        """Hold the method's next mask, if it has one.

        Args:
            step: Steps that are done, from 1.
        """
        mask = self.method.after_step(self.agent, self.engine, step)
        if mask is not None:
            self.engine.update(mask, self.method.regrowth)

    def end(self) -> Mask:
        """End the run: plain dense weights, the pruned ones exactly zero.

        Returns:
            The final mask.

        Raises:
            MaskError: If something overwrote the weights meanwhile.
        """
        try:
            mask = self.method.finish(self.agent, self.engine)
            self.engine.verify()
        finally:
            self.stop()
        if self.method.while_training:
            warn_of_collapse(self.agent, mask)
        return mask

    def stop(self) -> None:
        """Let go of the agent, whatever the state of the run."""
        self.engine.detach()
        self.method.release(self.agent)
