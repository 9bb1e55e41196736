"""Gradual structured pruning: whole units and channels leave, the weakest first."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.unit_groups import UnitGroup
from offline_prune.base.arguments import whole_number
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine
from offline_prune.errors import UnknownNameError
from offline_prune.masks.mask import Mask
from offline_prune.masks.unit_choice import choose_units
from offline_prune.methods.gradual import GradualUnitPruning
from offline_prune.methods.method import PruningSettings

__all__ = ["Norm", "Structured"]

Norm = Literal["l1", "l2"]


class Structured(GradualUnitPruning):
    """Prune units and channels for good, by the norm of all weights that they own.

    A unit is scored by the norm of its rows and of the columns that read it; channels
    that identity connections tie together (a residual stack) are one unit and share one
    score. Scores are divided by the mean of their layer, so that layers of different
    size compare. The lowest leave: observation inputs, action outputs and heads never
    do, and every layer keeps its best unit. The number of weights follows the cubic
    schedule of :func:`~offline_prune.masks.schedules.cubic_sparsity` from ``begin`` to
    ``end`` (fractions of the run).

    While d3rlpy trains, structured masks are held; the compact engine takes the units
    of stacks of layers and of IMPALA encoders out as they go. Units leave whole: the mask
    keeps at most ``round(N · (1 − s))`` weights a network, not exactly as many. Networks that
    share an encoder share a budget.

    References:
        The schedule, the groups and the norm: ICLR 2025 submission 10988, gradual
        structured pruning of image encoders. The groups are Torch-Pruning's where the
        wiring is not known: Fang et al. 2023, arXiv 2301.12900.
    """

    def __init__(
        self,
        settings: PruningSettings,
        norm: Norm = "l1",
        begin: float = 0.2,
        end: float = 0.8,
        interval: int | None = None,
        multiple: int = 1,
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities and length of the run.
            norm: ``"l1"`` or ``"l2"``.
            begin: When the first units leave, as a fraction of the run.
            end: When the last ones do.
            interval: Steps between two masks; None for 1 000, or a twentieth of the time
                between ``begin`` and ``end`` where that is less.
            multiple: Units of a layer leave by so many at once, and those that stay are a
                multiple of it where the layer's size is one: convolutions on CPUs are
                computed in blocks of 8 or 16 channels, full or not.

        Raises:
            UnknownNameError: If there is no such norm.
            InputError: If a number is out of range, or ``refill`` is asked for.
        """
        super().__init__(settings, begin, end, interval)
        if norm not in get_args(Norm):
            raise UnknownNameError("norm", str(norm), get_args(Norm))
        self.norm, self.multiple = norm, whole_number("multiple", multiple, 1)
        self._groups: list[tuple[UnitGroup, float]] = []
        self._alive: list[list[Tensor]] = []

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Keep everything.

        Raises:
            AlgorithmError: If it is not known which units a network's weights belong to.
        """
        self._groups = self.groups_to_prune(agent)
        self._alive = [
            [torch.ones(layer.size, dtype=torch.bool) for layer in group.graph.layers]
            for group, _ in self._groups
        ]
        return super().before_training(agent, data)

    def after_step(self, agent: Agent, engine: FollowingEngine, step: int) -> Mask | None:
        """Let the weakest units go, down to the schedule's number of weights."""
        if not self.is_due(step):
            return None
        values = engine.weights()
        for number, (group, sparsity) in enumerate(self._groups):
            scores = group.graph.norms(values, 1 if self.norm == "l1" else 2)
            alive = self._alive[number]
            compared = [
                score.cpu() / score.cpu()[there].mean().clamp_min(1e-30)
                for score, there in zip(scores, alive, strict=True)
            ]
            budget = self.budget(group, sparsity, step)
            self._alive[number] = choose_units(group.graph, compared, alive, budget, self.multiple)
        groups = (group for group, _ in self._groups)
        return self.keep_units(agent, zip(groups, self._alive, strict=True))
