"""How an agent is pruned where no method is asked for."""

from __future__ import annotations

from dataclasses import replace

from offline_prune.agents.agent import Agent
from offline_prune.recipes.algorithms import PruningAdvice, advice_for

__all__ = ["default_pruning"]


def default_pruning(agent: Agent, dataset_id: str | None) -> PruningAdvice:
    """What keeps most of an algorithm's return, as far as it can be had.

    Args:
        agent: What is to be pruned.
        dataset_id: Of what it is scored and trained on; None for a dataset without an id.

    Returns:
        Its algorithm's advice; with ``"snip"``, which looks at no wiring, where that of some
        weights is not known (custom encoders, distributional heads).
    """
    advice = advice_for(agent.algo.config.get_type(), dataset_id)
    if agent.followed.issuperset(agent.weights):
        return advice
    return replace(advice, method="snip")
