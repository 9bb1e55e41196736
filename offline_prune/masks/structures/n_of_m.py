"""At most n of any m neighbouring inputs of a unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from offline_prune.agents.agent import Agent
from offline_prune.agents.network import Network
from offline_prune.base.arguments import whole_number
from offline_prune.errors import InputError, MaskError, SparsityError
from offline_prune.masks.constant_fan_in import keep_highest_by_unit
from offline_prune.masks.counts import kept_count
from offline_prune.masks.structures.structure import Structure, put_last

__all__ = ["NOfM"]


@dataclass(frozen=True)
class NOfM(Structure):
    """At most ``n`` of every ``m`` inputs that follow one another, for every output.

    Formula: the inputs of a unit are cut into groups of m from the first on, those of a
    convolution at each place of the kernel; the last group may be shorter. The n highest
    scores of a group may be kept (ties: the lower index), and the allocation chooses among
    them. A network keeps exactly ``round(N · (1 − s))`` weights, which is n of m everywhere
    at the highest number possible, ``Σ out · kernel · (⌊in/m⌋ · n + min(n, in mod m))``.

    Attributes:
        n: At least 1.
        m: More than n.

    References:
        Mishra et al. 2021, arXiv 2104.08378 (2:4); Zhou et al. 2021, arXiv 2102.04010.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: If they are no whole numbers with 1 ≤ n < m.
        """
        for name in ("n", "m"):
            whole = whole_number(f"{name} of an n:m structure", getattr(self, name), 1)
            object.__setattr__(self, name, whole)
        if self.n >= self.m:
            raise InputError(f"An n:m structure keeps fewer than all, not {self.n} of {self.m}.")

    def check(self, agent: Agent, sparsity: Mapping[str, float]) -> None:
        """Refuse networks without a whole group, and sparsities that are too low.

        Raises:
            MaskError: If no layer of a network that is to be pruned has m inputs.
            SparsityError: If a network is to keep more than n of m weights.
        """
        for network in agent.networks:
            asked = sparsity[network.role]
            widest = max(weight.shape[1] for weight in network.weights.values())
            if asked and widest < self.m:
                raise MaskError(
                    f"No layer of {network.role} has {self.m} inputs, as {self.n}:{self.m} asks"
                    f" for; the widest has {widest}. Ask for smaller groups."
                )
            kept, most = kept_count(network.n_weights, asked), self._most(network)
            if asked and kept > most:
                raise SparsityError(
                    f"Sparsity {asked} keeps {kept} of {network.n_weights} weights of"
                    f" {network.role}, and {self.n}:{self.m} at most {most}. Ask for"
                    f" {math.ceil(1e4 * (1 - most / network.n_weights)) / 1e4} or more."
                )

    def least_sparsity(self, network: Network) -> float:
        """That of n of m everywhere."""
        return 1.0 - self._most(network) / network.n_weights

    def _most(self, network: Network) -> int:
        return sum(
            weight.numel() // weight.shape[1] * self._most_inputs(weight.shape[1])
            for weight in network.weights.values()
        )

    def _most_inputs(self, inputs: int) -> int:
        return inputs // self.m * self.n + min(self.n, inputs % self.m)

    def ordered(
        self,
        agent: Agent,
        scores: Mapping[str, Mapping[str, Tensor]],
        sparsity: Mapping[str, float],
        within: Mapping[str, Tensor],
    ) -> dict[str, dict[str, Tensor]]:
        """The best n of each group by their scores, then all others; dense networks as they are."""
        found = {}
        for role, own in scores.items():
            found[role] = put_last(own, within)
            if sparsity[role]:
                best = {name: self._best(score) for name, score in found[role].items()}
                found[role] = put_last(found[role], best)
        return found

    def _best(self, score: Tensor) -> Tensor:
        inputs = score.shape[1]
        rows = score.movedim(1, -1)
        groups = pad(rows, (0, -inputs % self.m), value=-math.inf)
        flat = groups.reshape(-1, self.m)
        counts = torch.full((len(flat),), self.n, device=score.device)
        best = keep_highest_by_unit(flat, counts).view(groups.shape)
        return best[..., :inputs].movedim(-1, 1)

    def verify(self, kept: Mapping[str, Tensor]) -> None:
        """Look for groups that keep more than n.

        Raises:
            SparsityError: If an allocation gave a layer more weights than n of m; of a network
                that loses some.
        """
        for name, mask in kept.items():
            inputs = mask.shape[1]
            groups = pad(mask.movedim(1, -1).int(), (0, -inputs % self.m)).unflatten(
                -1, (-1, self.m)
            )
            if int(groups.sum(dim=-1).max()) > self.n:
                most = mask.numel() // inputs * self._most_inputs(inputs)
                raise SparsityError(
                    f"The allocation gives {name} {int(mask.sum())} of {mask.numel()} weights, and"
                    f" {self.n}:{self.m} leaves it at most {most}. Ask for allocation='global', or"
                    " for a higher sparsity."
                )
