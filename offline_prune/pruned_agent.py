"""An agent whose mask is held, and d3rlpy's callback that lets the mask change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine, make_engine
from offline_prune.masks.build import warn_of_collapse
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod

__all__ = ["PrunedAgent", "hold"]


@dataclass(frozen=True)
class PrunedAgent(Agent):
    """An agent whose mask is attached, ready for d3rlpy's ``fit`` or ``fit_online``.

    Attributes:
        engine: Holds the mask. While it does, ``engine.weights()`` has the current
            weights; ``engine.detach()`` lets go, and :attr:`weights` has them again.
        method: Decides when connections go.
    """

    engine: FollowingEngine
    method: PruningMethod

    def callback(self, algo: Any, epoch: int, step: int) -> None:
        """Ask the method for a new mask: ``fit(…, callback=agent.callback)``.

        Needed by methods that prune while training; harmless with the others.

        Args:
            algo: The algorithm; d3rlpy passes it.
            epoch: The epoch; d3rlpy passes it.
            step: Steps of d3rlpy's loop that are done: gradient steps of ``fit``,
                environment steps of ``fit_online``.
        """
        mask = self.method.after_step(self, self.engine, step)
        if mask is not None:
            self.engine.update(mask, self.method.regrowth)

    def finish(self) -> Mask:
        """End the run: plain dense weights, the pruned ones exactly zero.

        Returns:
            The final mask.

        Raises:
            MaskError: If something overwrote the weights meanwhile.
        """
        try:
            mask = self.method.finish(self)
            self.engine.verify()
        finally:
            self.release()
        if self.method.while_training:
            warn_of_collapse(self, mask)
        return mask

    def release(self) -> None:
        """Let go of the agent, whatever the state of the run."""
        self.engine.detach()
        self.method.release(self)


def hold(agent: Agent, data: Dataset, method: PruningMethod, engine: str) -> PrunedAgent:
    """Let a method choose agent, mask and initial weights, and an engine hold them.

    Args:
        agent: The agent.
        data: The fixed dataset.
        method: The method.
        engine: Name of the engine.

    Returns:
        The agent, its mask attached.
    """
    agent = method.choose_agent(agent, data)
    holding = FollowingEngine(agent, make_engine(engine, agent))
    mask = method.before_training(agent, data)
    warn_of_collapse(agent, mask)
    method.initialise(agent, mask)
    holding.attach(mask, method.regrowth)
    fields = {name: getattr(agent, name) for name in Agent.__dataclass_fields__}
    return PrunedAgent(**fields, engine=holding, method=method)
