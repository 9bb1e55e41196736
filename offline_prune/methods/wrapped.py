"""A method around another one."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod

__all__ = ["WrappedMethod"]


class WrappedMethod(PruningMethod):
    """Does what another method does before training, changed in one place.

    Attributes:
        inner: The other method.
    """

    def __init__(self, inner: PruningMethod) -> None:
        """Wrap a method.

        Args:
            inner: The method; one that is done when training starts.

        Raises:
            InputError: If the method prunes while training.
        """
        if inner.while_training:
            raise InputError(
                f"{type(self).__name__} changes what a method does before training;"
                f" {type(inner).__name__} prunes while training. Wrap another method."
            )
        super().__init__(inner.settings)
        self.inner = inner
        self.scales_weights = type(self).scales_weights or inner.scales_weights
        self.builds_d3rlpy = type(self).builds_d3rlpy or inner.builds_d3rlpy

    def change(self, agent: Agent, mask: Mask) -> Mask:
        """Return what becomes of a mask of the inner method; the same by default."""
        return mask

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """The inner method's choice."""
        return self.inner.choose_agent(agent, data)

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """The inner method's mask, changed."""
        self.mask = self.change(agent, self.inner.before_training(agent, data))
        self.scores = self.inner.scores
        return self.mask

    def initialise(self, agent: Agent, mask: Mask) -> None:
        """The inner method's initial weights."""
        self.inner.initialise(agent, mask)
