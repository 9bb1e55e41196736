"""Pruning little by little in a part of the run: what methods that do so share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.unit_groups import UnitGroup, unit_groups
from offline_prune.masks.build import all_kept, mask_from_kept
from offline_prune.masks.mask import Mask
from offline_prune.masks.schedules import check_window, cubic_sparsity, update_interval
from offline_prune.methods.method import PruningMethod, PruningSettings

__all__ = ["GradualPruning", "GradualUnitPruning"]


class GradualPruning(PruningMethod):
    """Train dense at first; prune from ``begin`` to ``end`` (fractions of the run).

    Sparsities follow :func:`~offline_prune.masks.schedules.cubic_sparsity`.

    Attributes:
        begin: Gradient step from which on the mask changes.
        end: Gradient step of the last mask.
        mask_interval: Steps between two masks.
        is_over: Whether the last mask was due.
    """

    while_training: ClassVar[bool] = True

    def __init__(
        self,
        settings: PruningSettings,
        begin: float = 0.2,
        end: float = 0.8,
        interval: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and length of the run.
            begin: When the first weights leave, as a fraction of the run.
            end: When the last ones do.
            interval: Steps between two masks; None for 1 000, or a twentieth of the time
                between ``begin`` and ``end`` where that is less.

        Raises:
            InputError: If a number is out of range, or ``refill`` is asked for.
        """
        super().__init__(settings)
        check_window(begin, end)
        self.begin, self.end = round(begin * settings.n_steps), round(end * settings.n_steps)
        self.mask_interval = update_interval(self.end - self.begin, interval, 1000)
        self.is_over = False

    def is_due(self, step: int) -> bool:
        """Whether a new mask is due after a step; asked once a step."""
        if self.is_over or step < self.begin:
            return False
        self.is_over = step >= self.end
        return self.is_over or (step - self.begin) % self.mask_interval == 0

    def sparsity_at(self, step: int, final: float) -> float:
        """The schedule's sparsity after a step, of what ends at ``final``."""
        return cubic_sparsity(step, final, self.begin, self.end)


class GradualUnitPruning(GradualPruning):
    """Prune whole units, those of each group of networks within a budget of weights."""

    structures: ClassVar[frozenset[str]] = frozenset()

    def groups_to_prune(self, agent: Agent) -> list[tuple[UnitGroup, float]]:
        """Groups of units that lose some, each with the final sparsity of all its weights."""
        found = [(g, self.settings.kept_count(g.networks(agent))) for g in unit_groups(agent)]
        sizes = [(group, kept, group.graph.n_weights) for group, kept in found]
        return [(group, 1.0 - kept / size) for group, kept, size in sizes if kept < size]

    def budget(self, group: UnitGroup, sparsity: float, step: int) -> float:
        """Weights that a group of this final sparsity may have after a step."""
        return group.graph.n_weights * (1.0 - self.sparsity_at(step, sparsity))

    def keep_units(self, agent: Agent, units: Iterable[tuple[UnitGroup, list[Tensor]]]) -> Mask:
        """Mask all weights of units that left; there are those whose entry is true."""
        kept = all_kept(agent)
        for group, there in units:
            for name, mask in group.kept_weights(there).items():
                kept[name] &= mask
        self.mask = mask_from_kept(agent, kept)
        return self.mask
