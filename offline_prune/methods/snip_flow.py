"""SNIP-Flow: keep the paths along which the loss is sensitive."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import finite_number
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.methods.iterative import Kept, Scorer, SynFlow
from offline_prune.methods.method import PruningSettings
from offline_prune.saliency.flow import flow_shares
from offline_prune.saliency.objective import Scores
from offline_prune.saliency.snip import snip

__all__ = ["SnipFlow"]


class SnipFlow(SynFlow):
    """SynFlow with what SNIP says of a weight in place of its size.

    Formula: ``score = |m · ∂R/∂m| / R`` with R the sum of outputs of the linear network of
    weights ``m = (|w g| / mean |w g|)^power`` for an input of ones, mean over the layer;
    w g is SNIP's sensitivity, scored once, of the dense agent. In rounds: what is pruned
    stays pruned. SNIP alone is blind to where its weights lead and thins some layers out;
    SynFlow keeps every layer connected and is blind to the data.

    References:
        Ours, of Lee et al. 2019, arXiv 1810.02340 and Tanaka et al. 2020, arXiv 2006.05467.
    """

    def __init__(self, settings: PruningSettings, power: float = 0.5, rounds: int = 100) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and scoring mini-batches.
            power: How sharply sensitivities are told apart; 0 counts paths alone.
            rounds: At least 1; 100 as SynFlow has.

        Raises:
            InputError: If ``power`` is not in [0, 4] or ``rounds`` no positive whole number.
        """
        super().__init__(settings, rounds)
        self.power = finite_number("power", power)
        if not 0.0 <= self.power <= 4.0:
            raise InputError(f"power must be from 0 to 4, not {power!r}")

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """Flow through the sensitivities of the weights that are left, in all rounds the same."""
        strength = {
            name: _strength(score, self.power)
            for found in self.settings.score(agent, data, snip).values()
            for name, score in found.items()
        }

        def left(kept: Kept) -> dict[str, Scores]:
            return flow_shares(agent, {n: s * kept[n] for n, s in strength.items()}, "SNIP-Flow")

        return left


def _strength(score: Tensor, power: float) -> Tensor:
    """Sensitivities to a power, of mean about 1, so that no layer's loss scale matters."""
    score = score.double()
    mean = score.mean()
    if not bool(mean > 0.0):
        return torch.ones_like(score)
    return (score / mean) ** power
