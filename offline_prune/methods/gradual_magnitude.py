"""Gradual magnitude pruning: the smallest weights leave, little by little."""

from __future__ import annotations

from typing import ClassVar

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine
from offline_prune.masks.allocation import Allocation, ByDensity, make_allocation
from offline_prune.masks.build import build_mask
from offline_prune.masks.mask import Mask
from offline_prune.methods.gradual import GradualPruning

__all__ = ["GradualMagnitude"]


class GradualMagnitude(GradualPruning):
    """Keep the largest weights of every layer, ever fewer of them.

    Training starts dense. From ``begin`` to ``end`` (fractions of the run) the sparsity of
    every layer follows its final value times the cubic of
    :func:`~offline_prune.masks.schedules.cubic_sparsity`; then the mask is fixed. Until
    then gradients and moments stay dense, and what the last optimizer step made of a
    pruned weight competes with the others at the next mask, so that it may come back.

    Final layer densities are Erdős–Rényi-kernel's by default. An allocation that is more
    than layer densities (``"global"``, ``"floor"``, ``"constant_fan_in"``) makes every mask at
    the sparsity of its moment. So it does with a structure of units or blocks; n of m weights
    contradict the sparsities that it begins with.

    References:
        Zhu, Gupta 2017, arXiv 1710.01878; Obando-Ceron, Courville, Castro 2024,
        arXiv 2402.12479.
    """

    default_allocation: ClassVar[Allocation] = "erk"
    structures: ClassVar[frozenset[str]] = frozenset({"units", "block"})
    _densities: dict[str, float] | None = None

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Keep everything."""
        rule = make_allocation(self.settings.allocation or "erk")
        if isinstance(rule, ByDensity):
            self._densities = {
                name: density
                for net in agent.networks
                for name, density in rule.densities(
                    {n: tuple(w.shape) for n, w in net.weights.items()},
                    self.settings.sparsity[net.role],
                ).items()
            }
        self.regrowth = "any_step"
        return super().before_training(agent, data)

    def after_step(self, agent: Agent, engine: FollowingEngine, step: int) -> Mask | None:
        """Keep the largest weights at the schedule's sparsity."""
        if not self.is_due(step):
            return None
        if self.is_over:
            self.regrowth = "never"
        values = engine.unmasked()
        self.mask = build_mask(
            agent,
            {
                network.role: {name: values[name].abs() for name in network.weights}
                for network in agent.networks
            },
            {role: self.sparsity_at(step, final) for role, final in self.settings.sparsity.items()},
            self._allocation(step),
            share_critics=self.settings.share_critics,
            structure=self.settings.structure,
        )
        return self.mask

    def _allocation(self, step: int) -> Allocation:
        if self._densities is None:
            return self.settings.allocation or "global"
        progress = self.sparsity_at(step, 1.0)
        return {name: 1.0 - (1.0 - final) * progress for name, final in self._densities.items()}
