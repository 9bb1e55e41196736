"""Fewer units at the same sparsity: the best weights between the best units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.unit_groups import UnitGroup, unit_groups
from offline_prune.base.arguments import finite_number
from offline_prune.errors import InputError
from offline_prune.masks.counts import kept_count
from offline_prune.masks.structures.structure import Structure, places, put_last
from offline_prune.masks.unit_choice import choose_units

__all__ = ["FewerUnits"]


@dataclass(frozen=True)
class FewerUnits(Structure):
    """Weights of the best units, so many that a part of them, ``density``, is kept.

    Formula: a unit's score is ``u_j = mean of s over the rows and columns that it owns``, s
    divided by the mean of ``|s|`` of its network. A weight is kept by
    ``(min over its units of [u ≥ t], s)``: weights between units above a threshold first, by
    their scores. t is the lowest with which those weights number at most
    ``round(N · (1 − s)) / density``; every layer keeps its best unit. Behind them come weights
    of the next best units, in the order of their weaker unit. Inputs and outputs of a network
    are there anyway.

    Runtimes without sparse kernels compute what is between live units, kept or not. At density
    1 the mask is a narrower dense network; the lower, the freer are the scores.

    Units are chosen for all networks together that share an encoder. Counts are exact, ties go
    to the earlier unit.

    Attributes:
        density: Of weights kept between units that stay, in (0, 1].

    References:
        Ours. Adding a unit's score to its weights' leaves less of the scores at as many
        units: docs/design.md.
    """

    density: float = 0.5

    def __post_init__(self) -> None:
        """Check the number.

        Raises:
            InputError: If it is none in (0, 1].
        """
        density = finite_number("density of units", self.density)
        if not 0.0 < density <= 1.0:
            raise InputError(f"density of units is above 0 and at most 1, not {density:g}.")
        object.__setattr__(self, "density", density)

    def check(self, agent: Agent, sparsity: Mapping[str, float]) -> None:
        """Refuse agents whose units are not known.

        Raises:
            AlgorithmError: If the units of a network cannot be told apart.
        """
        unit_groups(agent)

    def ordered(
        self,
        agent: Agent,
        scores: Mapping[str, Mapping[str, Tensor]],
        sparsity: Mapping[str, float],
        within: Mapping[str, Tensor],
    ) -> dict[str, dict[str, Tensor]]:
        """Weights between chosen units by their scores, then those of the next best units."""
        comparable: dict[str, Tensor] = {}
        for found in scores.values():
            own = {n: torch.where(within[n], s.double(), 0.0) for n, s in found.items()}
            size = sum(float(s.abs().sum()) for s in own.values())
            scale = sum(s.numel() for s in own.values()) / size if size else 1.0
            comparable |= {name: s * scale for name, s in own.items()}
        weaker: dict[str, Tensor] = {}
        for group in unit_groups(agent):
            if group.graph.layers:
                weaker |= self._weaker_units(agent, group, comparable, sparsity, within)
        return {role: _by_unit(found, weaker, within) for role, found in scores.items()}

    def _weaker_units(
        self,
        agent: Agent,
        group: UnitGroup,
        scores: Mapping[str, Tensor],
        sparsity: Mapping[str, float],
        within: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Weight name → 0 between units that stay, else the rank of its weaker unit from 1 on."""
        graph = group.graph
        there = {weight.name: within[weight.name].double() for weight in graph.weights}
        ones = [torch.ones(layer.size, dtype=torch.double) for layer in graph.layers]
        owned = [count.cpu() for count in graph.expected_weights_gradient(ones)]
        sums = [total.cpu() for total in graph.owned_sums(scores)]
        units = [total / count for total, count in zip(sums, owned, strict=True)]
        alive = [total.cpu() > 0 for total in graph.owned_sums(there)]
        kept = sum(kept_count(n.n_weights, sparsity[n.role]) for n in group.networks(agent))
        stays = choose_units(graph, units, alive, kept / self.density)
        flat = torch.cat(units)
        behind = (1.0 + places(flat)).where(~torch.cat(stays), 0.0)
        ranks = list(behind.split([len(part) for part in units]))
        found = {}
        for weight in graph.weights:
            rows = torch.zeros(weight.shape[0], dtype=flat.dtype)
            if weight.rows is not None:
                rows = ranks[weight.rows]
            # Of columns that read inputs there is a 1: the best rank, which changes nothing but
            # for weights between units that stay.
            both = torch.maximum(rows[:, None], graph.columns(weight, ranks)[None, :])
            both = both.where(~_between(rows, graph.columns(weight, stays)), 0.0)
            found[weight.name] = both.reshape(*both.shape, *[1] * (len(weight.shape) - 2)).to(
                scores[weight.name].device
            )
        return found


def _between(rows: Tensor, columns: Tensor) -> Tensor:
    return (rows == 0.0)[:, None] & columns[None, :]


def _by_unit(
    scores: Mapping[str, Tensor], weaker: Mapping[str, Tensor], within: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Scores, moved down by the rank of the weaker unit."""
    low = min(float(score.min()) for score in scores.values())
    span = max(float(score.max()) for score in scores.values()) - low or 1.0
    found = {}
    for name, score in scores.items():
        value = score.double()
        rank = weaker.get(name)
        if rank is not None:
            below = low - rank + 0.5 * (value - low) / span
            value = torch.where(rank > 0, below - 0.5, value)
        found[name] = value
    return put_last(found, within)
