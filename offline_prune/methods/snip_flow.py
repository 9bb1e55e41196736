"""SNIP-Flow: keep the paths along which the loss is sensitive."""

from __future__ import annotations

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import finite_number, shown
from offline_prune.base.expression import Expression, plain_word
from offline_prune.data import Dataset
from offline_prune.errors import InputError
from offline_prune.methods.iterative import Kept, Scorer, SynFlow
from offline_prune.methods.method import PruningSettings
from offline_prune.saliency.flow import flow_shares
from offline_prune.saliency.objective import Scores
from offline_prune.saliency.snip import snip
from offline_prune.saliency.stacks import stack_budgets, within_budgets

__all__ = ["SnipFlow"]


class SnipFlow(SynFlow):
    """SynFlow with what SNIP says of a weight in place of its size.

    Formula: ``score = |m · ∂R/∂m| / R`` with R the sum of outputs of the linear network of
    weights ``m = (|w g| / mean |w g|)^power`` for an input of ones, mean over the layer;
    w g is SNIP's sensitivity, scored once, of the dense agent. In rounds: what is pruned
    stays pruned. SNIP alone is blind to where its weights lead and thins some layers out;
    SynFlow keeps every layer connected and is blind to the data.

    A network of several stacks (a VAE's encoder and decoder) gives each the same part of its
    flow; with ``stacks="snip"`` SNIP says how many weights each stack keeps and flow which.
    BCQ's decoder acts and its encoder hardly matters, which SNIP sees and flow does not.

    References:
        Ours, of Lee et al. 2019, arXiv 1810.02340 and Tanaka et al. 2020, arXiv 2006.05467.
    """

    def __init__(
        self,
        settings: PruningSettings,
        power: float = 0.5,
        rounds: int = 100,
        stacks: str | Expression = "equal",
    ) -> None:
        """Prepare.

        Args:
            settings: Sparsities, allocation and scoring mini-batches.
            power: How sharply sensitivities are told apart; 0 counts paths alone.
            rounds: At least 1; 100 as SynFlow has.
            stacks: ``"equal"`` or ``"snip"``; the same where every network is one stack.

        Raises:
            InputError: If ``power`` is not in [0, 4], ``rounds`` no positive whole number or
                ``stacks`` neither of its two words.
        """
        super().__init__(settings, rounds)
        self.power = finite_number("power", power)
        if not 0.0 <= self.power <= 4.0:
            raise InputError(f"power must be from 0 to 4, not {power!r}")
        self.stacks = plain_word(stacks)
        if self.stacks not in ("equal", "snip"):
            raise InputError(f"stacks must be equal or snip, not {shown(stacks)}.")

    def scorer(self, agent: Agent, data: Dataset) -> Scorer:
        """Flow through the sensitivities of the weights that are left, in all rounds the same."""
        sensitivity = {
            name: score
            for found in self.settings.score(agent, data, snip).values()
            for name, score in found.items()
        }
        strength = {name: _strength(score, self.power) for name, score in sensitivity.items()}
        by_snip = self.stacks == "snip"
        budgets = stack_budgets(agent, sensitivity, self.settings.sparsity) if by_snip else {}

        def left(kept: Kept) -> dict[str, Scores]:
            masked = {name: s * kept[name] for name, s in strength.items()}
            found = flow_shares(agent, masked, "SNIP-Flow")
            return {role: within_budgets(s, budgets.get(role, {})) for role, s in found.items()}

        return left


def _strength(score: Tensor, power: float) -> Tensor:
    """Sensitivities to a power, of mean about 1, so that no layer's loss scale matters."""
    score = score.double()
    mean = score.mean()
    if not bool(mean > 0.0):
        return torch.ones_like(score)
    return (score / mean) ** power
