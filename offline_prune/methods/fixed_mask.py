"""A mask that was made before."""

from __future__ import annotations

from typing import ClassVar

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.errors import InputError, MaskError, SparsityError
from offline_prune.masks.allocation import kept_count
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod, PruningSettings

__all__ = ["FixedMask"]


class FixedMask(PruningMethod):
    """Keep what a given mask keeps: a saved one, or one made by other code."""

    structures: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, given: Mask, settings: PruningSettings) -> None:
        """Prepare.

        Args:
            given: The mask.
            settings: What the user asked for; the mask must have its sparsities.

        Raises:
            InputError: If ``refill`` is asked for.
        """
        if settings.refill:
            raise InputError(
                "refill chooses weights by their scores, and a given mask has none. Refill it"
                " when it is made."
            )
        super().__init__(settings)
        self.given = given

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the given agent, if the mask fits it.

        Raises:
            MaskError: As :meth:`before_training` does.
            SparsityError: So too.
        """
        self.before_training(agent, data)
        return agent

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Check that the mask fits the agent and the sparsity asked for.

        Raises:
            MaskError: If it belongs to other networks.
            SparsityError: If it has another sparsity.
        """
        expected = {name: tuple(weight.shape) for name, weight in agent.weights.items()}
        found = {name: tuple(kept.shape) for name, kept in self.given.nominal.items()}
        if expected != found:
            raise MaskError(
                f"The mask was made for other networks than this {agent.name} agent has:"
                f" they differ in {sorted(set(expected.items()) ^ set(found.items()))}."
            )
        self.mask = mask_from_kept(agent, self.given.nominal)
        for network in agent.networks:
            asked = self.settings.sparsity[network.role]
            ours = self.mask[network.role]
            if ours.n_kept != kept_count(network.n_weights, asked):
                sparsities = {role: round(self.mask[role].sparsity, 6) for role in agent.roles}
                raise SparsityError(
                    f"The mask's sparsities are {sparsities}; {asked} was asked for"
                    f" {network.role}. Ask for what the mask has."
                )
        return self.mask
