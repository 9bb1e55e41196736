"""Pruning before training in many small rounds instead of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.data import Dataset
from offline_prune.masks.mask import Mask
from offline_prune.methods.method import PruningMethod, PruningSettings
from offline_prune.saliency.objective import Objective, Scores, mean_gradient
from offline_prune.saliency.snip import snip
from offline_prune.saliency.synflow import synflow

__all__ = ["Force", "IterativePruning", "IterativeSnip", "SynFlow", "without_return"]

NEVER = -1.0
"""Score of a weight that may not return; all others are at least 0."""


class IterativePruning(PruningMethod):
    """Score the masked agent again and again while it gets sparser.

    After round k of n a network of final density d keeps ``d^(k/n)`` of its weights, the
    exponential schedule. Scores are taken with the weights pruned so far at zero, in
    all networks and targets; the agent comes back untouched.
    """

    def __init__(self, settings: PruningSettings, rounds: int) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and scoring mini-batches.
            rounds: n, at least 1.

        Raises:
            InputError: If ``rounds`` is not a positive whole number.
        """
        super().__init__(settings)
        self.rounds = whole_number("rounds", rounds, 1)

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Prune round by round."""
        final = self.settings.sparsity
        original = {name: weight.detach().clone() for name, weight in agent.weights.items()}
        kept: Mapping[str, Tensor] = {
            name: torch.ones_like(weight, dtype=torch.bool) for name, weight in original.items()
        }
        for k in range(1, self.rounds + 1):
            with _masked(agent, kept):
                self.scores = self.score(agent, data, original, kept)
            last = k == self.rounds  # the sparsity asked for, not rounded by a power
            asked = {
                role: s if last else 1.0 - (1.0 - s) ** (k / self.rounds)
                for role, s in final.items()
            }
            self.mask = self.settings.at(asked).build(agent, self.scores)
            kept = {n: m.to(original[n].device) for n, m in self.mask.nominal.items()}
        assert self.mask is not None
        return self.mask

    def score(
        self,
        agent: Agent,
        data: Dataset,
        original: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
    ) -> dict[str, Scores]:
        """Role → weight name → score of the masked agent; higher = keep.

        Args:
            agent: The agent, its pruned weights at zero.
            data: The fixed dataset.
            original: Weight name → unmasked weight.
            kept: Weight name → boolean, the mask of the round before.
        """
        raise NotImplementedError


class IterativeSnip(IterativePruning):
    """SNIP at the masked network; what is pruned stays pruned.

    Formula: ``score = |w · g|`` with w the masked weight and g the gradient there.

    References:
        de Jorge et al. 2021, arXiv 2006.09081.
    """

    def __init__(self, settings: PruningSettings, rounds: int = 10) -> None:
        """Prepare; ten rounds are this package's choice."""
        super().__init__(settings, rounds)

    def score(
        self,
        agent: Agent,
        data: Dataset,
        original: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
    ) -> dict[str, Scores]:
        """SNIP of the masked agent."""
        return without_return(self.settings.score(agent, data, snip), kept)


class Force(IterativePruning):
    """Foresight connection sensitivity: a pruned weight may return.

    Formula: ``score = |w · g(w ⊙ c)|`` with w the *original* weight and g the gradient
    at the masked network: what the loss would feel if the weight came back.

    References:
        de Jorge et al. 2021, arXiv 2006.09081.
    """

    def __init__(self, settings: PruningSettings, rounds: int = 10) -> None:
        """Prepare; ten rounds are this package's choice."""
        super().__init__(settings, rounds)

    def score(
        self,
        agent: Agent,
        data: Dataset,
        original: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
    ) -> dict[str, Scores]:
        """Sensitivity to the original weights at the masked agent."""

        def sensitivity(objective: Objective) -> Scores:
            gradient = mean_gradient(objective)
            return {name: (original[name] * g).abs() for name, g in gradient.items()}

        return self.settings.score(agent, data, sensitivity)


class SynFlow(IterativePruning):
    """Keep synaptic flow, without any data.

    Formula: ``score = |w · ∂R/∂w|``, R the sum of outputs of the network of absolute
    weights for an input of ones (:func:`~offline_prune.saliency.synflow.synflow`).
    What is pruned stays pruned.

    References:
        Tanaka, Kunin, Yamins, Ganguli 2020, arXiv 2006.05467.
    """

    def __init__(self, settings: PruningSettings, rounds: int = 100) -> None:
        """Prepare; 100 rounds are the paper's choice."""
        super().__init__(settings, rounds)

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the given agent.

        Raises:
            AlgorithmError: If the wiring of a network is not known.
        """
        synflow(agent)
        return agent

    def score(
        self,
        agent: Agent,
        data: Dataset,
        original: Mapping[str, Tensor],
        kept: Mapping[str, Tensor],
    ) -> dict[str, Scores]:
        """Flow of the masked agent."""
        return without_return(synflow(agent), kept)


def without_return(scores: Mapping[str, Scores], kept: Mapping[str, Tensor]) -> dict[str, Scores]:
    """Scores below all others for pruned weights, so that none returns.

    Args:
        scores: Role → weight name → score, from 0 on.
        kept: Weight name → boolean, the mask of the round before.

    Returns:
        The same scores, :data:`NEVER` where a weight is pruned.
    """
    return {
        role: {n: torch.where(kept[n], s, NEVER) for n, s in found.items()}
        for role, found in scores.items()
    }


@contextmanager
def _masked(agent: Agent, kept: Mapping[str, Tensor]) -> Iterator[None]:
    """Pruned weights at zero for a while, in targets too."""
    targets = agent.targets
    tensors = [(w, kept[n]) for n, w in agent.weights.items()]
    tensors += [(targets[n], kept[n]) for n in targets]
    before = [tensor.data for tensor, _ in tensors]
    try:
        for tensor, mask in tensors:
            tensor.data = tensor.data * mask
        yield
    finally:
        for (tensor, _), data in zip(tensors, before, strict=True):
            tensor.data = data
