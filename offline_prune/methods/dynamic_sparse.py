"""Dynamic sparse training: sparse from the start, connections exchanged on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.data import Dataset
from offline_prune.engines import FollowingEngine, Regrowth
from offline_prune.errors import InputError
from offline_prune.masks.allocation import Allocation, is_constant_fan_in, keep_highest
from offline_prune.masks.build import mask_from_kept
from offline_prune.masks.constant_fan_in import keep_highest_by_unit
from offline_prune.masks.mask import Mask
from offline_prune.masks.schedules import check_window, cosine_fraction, update_interval
from offline_prune.masks.ties import zeros_at_random
from offline_prune.methods.method import PruningMethod, PruningSettings

__all__ = ["DynamicSparse", "exchange"]


def exchange(
    weight: Tensor,
    kept: Tensor,
    growth: Tensor,
    fraction: float,
    by_unit: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Drop the smallest kept weights of a layer and grow as many others.

    Of n kept weights the ``k = ⌊f·n⌋`` of the smallest magnitude leave; of all that are
    not kept then, those just dropped among them, the k with the highest growth score come.
    By unit, every unit gets as many back as it lost.

    Args:
        weight: The layer's weight.
        kept: Boolean of its shape, true = kept.
        growth: Growth score of its shape, from 0 on; higher = grow.
        fraction: f, in [0, 1].
        by_unit: Whether every unit keeps its number of weights.
        generator: Orders zeros; None orders them the same way every time.

    Returns:
        The new boolean mask, with as many kept weights.

    References:
        Evci et al. 2020, arXiv 1911.11134, section 3; by unit: Lasby et al. 2024, arXiv
        2305.02299 (SRigL).
    """
    generator = generator or torch.Generator().manual_seed(0)
    n_kept = int(kept.sum())
    n_exchanged = int(fraction * n_kept)
    if n_exchanged == 0:
        return kept
    size = zeros_at_random(weight.abs(), generator).masked_fill(~kept, -1.0)
    stays = keep_highest(size, n_kept - n_exchanged)
    growth = zeros_at_random(growth, generator).masked_fill(stays, -1.0)
    if by_unit:
        lost = (kept & ~stays).flatten(1).sum(dim=1)
        return stays | keep_highest_by_unit(growth, lost)
    return stays | keep_highest(growth, n_exchanged)


class DynamicSparse(PruningMethod):
    """Train sparse from a random mask and exchange connections at intervals.

    Every layer keeps its density, Erdős–Rényi-kernel's by default. Every ``interval``
    steps :func:`exchange` replaces a fraction of each layer's connections; the fraction
    falls to 0 as a cosine (:func:`~offline_prune.masks.schedules.cosine_fraction`) at
    ``end``, after which the mask is fixed. Connections that grow start at 0. A subclass
    says what grows. With ``allocation="constant_fan_in"`` every unit keeps its number of
    connections.
    """

    default_allocation: ClassVar[Allocation] = "erk"
    structures: ClassVar[frozenset[str]] = frozenset()
    while_training: ClassVar[bool] = True
    wants_gradients: ClassVar[bool] = False
    """Whether growth looks at the dense gradients of the step before."""

    def __init__(
        self,
        settings: PruningSettings,
        fraction: float = 0.3,
        interval: int | None = None,
        end: float = 0.75,
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation, seed and length of the run.
            fraction: α, of each layer's connections, exchanged at first.
            interval: Steps between exchanges; None for 100, or a twentieth of the time to
                ``end`` where that is less.
            end: When connections are exchanged for the last time, as a fraction of the
                run.

        Raises:
            InputError: If a number is out of range, or ``refill`` is asked for.
        """
        super().__init__(settings)
        check_window(0.0, end)
        if not 0.0 <= fraction <= 1.0:
            raise InputError(f"fraction is a number in [0, 1], not {fraction!r}.")
        self.fraction = fraction
        self.end = round(end * settings.n_steps)
        self.interval = update_interval(self.end, interval, 100)
        self._due: set[str] = set()
        self._by_unit = is_constant_fan_in(self.settings.allocation or "erk")
        self.generator = torch.Generator().manual_seed(settings.seed)

    def growth(self, agent: Agent, engine: FollowingEngine) -> Mapping[str, Tensor]:
        """Weight name → growth score of the weight's shape, from 0 on; higher = grow.

        Without the weights of which it cannot be told yet: their exchange waits for the
        next step.
        """
        raise NotImplementedError

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Draw a random mask."""
        noise = self.noise(agent)
        self.mask = self.settings.build(
            agent, {net.role: {n: noise[n] for n in net.weights} for net in agent.networks}
        )
        self.regrowth = self._next_regrowth(0)
        return self.mask

    def after_step(self, agent: Agent, engine: FollowingEngine, step: int) -> Mask | None:
        """Exchange connections, if it is time."""
        if self.regrowth == "never" or self.mask is None:
            return None
        if step >= self.end:
            self.regrowth = "never"
            return self.mask
        if step % self.interval == 0:
            self._due = set(self.mask.nominal)
        if not self._due:
            now, self.regrowth = self.regrowth, self._next_regrowth(step)
            return self.mask if now != self.regrowth else None
        # A network may take no step now: a delayed actor, an environment without a batch.
        growth = self.growth(agent, engine)
        ready = [name for name in self.mask.nominal if name in self._due and name in growth]
        if not ready:
            return None
        self._due.difference_update(ready)
        if not self._due:
            self.regrowth = self._next_regrowth(step)
        fraction = cosine_fraction(step, self.fraction, self.end)
        weights, kept = engine.weights(), dict(self.mask.nominal)
        for name in ready:
            kept[name] = exchange(
                weights[name],
                kept[name].to(weights[name].device),
                growth[name],
                fraction,
                by_unit=self._by_unit,
                generator=self.generator,
            )
        self.mask = mask_from_kept(agent, kept)
        return self.mask

    def _next_regrowth(self, step: int) -> Regrowth:
        """Dense gradients are wanted in the step before an exchange alone."""
        is_before = (step + 1) % self.interval == 0
        return "at_next_update" if self.wants_gradients and is_before else "at_updates"

    def noise(self, agent: Agent) -> dict[str, Tensor]:
        """Weight name → uniform noise in [0, 1) of the weight's shape and device."""
        return {
            name: torch.rand(weight.shape, generator=self.generator).to(weight.device)
            for name, weight in agent.weights.items()
        }
