"""Pruning before training in many small rounds instead of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import whole_number
from offline_prune.data import Dataset
from offline_prune.masks.mask import Mask
from offline_prune.masks.structures import make_structure
from offline_prune.methods.method import PruningMethod, PruningSettings
from offline_prune.saliency.objective import Objective, Scores, mean_gradient
from offline_prune.saliency.snip import snip
from offline_prune.saliency.synflow import synflow

__all__ = ["Force", "IterativePruning", "IterativeSnip", "Kept", "Scorer", "SynFlow"]

NEVER = -1.0
"""Score of a weight that may not return; all others are at least 0."""

Kept: TypeAlias = Mapping[str, Tensor]
"""Weight name → boolean, the mask of the round before."""

Scorer: TypeAlias = Callable[[Kept], dict[str, Scores]]
"""Role → weight name → score of the agent as it is, pruned weights at zero; higher = keep."""


class IterativePruning(PruningMethod):
    """Score the masked agent again and again while it gets sparser.

    After round k of n a network of final density d keeps ``d^(k/n)`` of its weights, the
    exponential schedule. Scores are taken with the weights pruned so far at zero, in
    all networks and targets; the agent comes back untouched. What is pruned stays pruned,
    unless a subclass says otherwise.
    """

    weights_return: ClassVar[bool] = False
    """Whether a pruned weight may come back in a later round; if not, scores are from 0 on."""

    default_rounds: ClassVar[int] = 10  # this package's choice

    def __init__(self, settings: PruningSettings, rounds: int | None = None) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and scoring mini-batches.
            rounds: n, at least 1; None takes the method's own.

        Raises:
            InputError: If ``rounds`` is not a positive whole number.
        """
        super().__init__(settings)
        rounds = self.default_rounds if rounds is None else rounds
        self.rounds = whole_number("rounds", rounds, 1)

    def before_training(self, agent: Agent, data: Dataset) -> Mask:
        """Prune round by round."""
        final = self.settings.sparsity
        kept: Kept = {
            name: torch.ones_like(weight, dtype=torch.bool)
            for name, weight in agent.weights.items()
        }
        least = self._least_sparsity(agent)
        score = self.scorer(agent, data)
        for k in range(1, self.rounds + 1):
            with _masked(agent, kept):
                self.scores = score(kept)
            if not self.weights_return:
                self.scores = _without_return(self.scores, kept)
            last = k == self.rounds  # the sparsity asked for, not rounded by a power
            asked = {
                role: s if last else max(min(s, least[role]), 1.0 - (1.0 - s) ** (k / self.rounds))
                for role, s in final.items()
            }
            within = None if self.weights_return else kept
            self.mask = self.settings.at(asked).build(agent, self.scores, within)
            kept = {n: self.mask.nominal[n].to(w.device) for n, w in agent.weights.items()}
        assert self.mask is not None
        return self.mask

    def _least_sparsity(self, agent: Agent) -> dict[str, float]:
        """Role → sparsity from which on a mask can have the structure asked for."""
        if self.settings.structure is None:
            return dict.fromkeys(agent.roles, 0.0)
        structure = make_structure(self.settings.structure)
        return {net.role: structure.least_sparsity(net) for net in agent.networks}

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """What scores the masked agent in every round.

        Args:
            agent: The agent, dense as yet; in the rounds its pruned weights are at zero.
            data: The fixed dataset.
        """
        raise NotImplementedError


class IterativeSnip(IterativePruning):
    """SNIP at the masked network; what is pruned stays pruned.

    Formula: ``score = |w · g|`` with w the masked weight and g the gradient there.

    References:
        de Jorge et al. 2021, arXiv 2006.09081.
    """

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """SNIP of the masked agent."""
        return lambda _: self.settings.score(agent, data, snip)


class Force(IterativePruning):
    """Foresight connection sensitivity: a pruned weight may return.

    Formula: ``score = |w · g(w ⊙ c)|`` with w the *original* weight and g the gradient
    at the masked network: what the loss would feel if the weight came back.

    References:
        de Jorge et al. 2021, arXiv 2006.09081.
    """

    weights_return: ClassVar[bool] = True

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """Sensitivity to the original weights at the masked agent."""
        original = {name: weight.detach().clone() for name, weight in agent.weights.items()}

        def sensitivity(objective: Objective) -> Scores:
            gradient = mean_gradient(objective)
            return {name: (original[name] * g).abs() for name, g in gradient.items()}

        return lambda _: self.settings.score(agent, data, sensitivity)


class SynFlow(IterativePruning):
    """Keep synaptic flow, without any data.

    Formula: ``score = |w · ∂R/∂w|``, R the sum of outputs of the network of absolute
    weights for an input of ones (:func:`~offline_prune.saliency.synflow.synflow`).
    What is pruned stays pruned.

    References:
        Tanaka, Kunin, Yamins, Ganguli 2020, arXiv 2006.05467.
    """

    default_rounds: ClassVar[int] = 100  # the paper's choice

    def choose_agent(self, agent: Agent, data: Dataset) -> Agent:
        """Return the given agent.

        Raises:
            AlgorithmError: If the wiring of a network is not known.
        """
        synflow(agent)
        return agent

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """Flow of the masked agent."""
        return lambda _: synflow(agent)


def _without_return(scores: Mapping[str, Scores], kept: Kept) -> dict[str, Scores]:
    """Scores below all others for pruned weights, so that none returns."""
    return {
        role: {n: torch.where(kept[n], s, NEVER) for n, s in found.items()}
        for role, found in scores.items()
    }


@contextmanager
def _masked(agent: Agent, kept: Kept) -> Iterator[None]:
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
