"""How an agent is pruned where no method is asked for."""

from __future__ import annotations

from dataclasses import replace

from offline_prune.agents.agent import Agent
from offline_prune.agents.recipes import PruningAdvice, advice_for

__all__ = ["default_pruning"]

_NEEDS_PATHS = ("snip_flow", "synflow")


def default_pruning(agent: Agent, dataset_id: str | None) -> PruningAdvice:
    """What keeps most of an algorithm's return, as far as it can be had.

    Args:
        agent: What is to be pruned.
        dataset_id: Of what it is scored and trained on; None for a dataset without an id.

    Returns:
        Its algorithm's advice; with ``"snip"`` in the place of a method that follows weights
        from inputs to outputs, where the wiring of some is not known (custom encoders,
        distributional heads).
    """
    advice = advice_for(agent.algo.config.get_type(), dataset_id)
    followed = {name for path in agent.paths for name in path.weight_names}
    if advice.method in _NEEDS_PATHS and not followed.issuperset(agent.weights):
        return replace(advice, method="snip")
    return advice
