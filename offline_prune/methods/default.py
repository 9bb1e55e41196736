"""The method of an agent that is pruned without one being asked for."""

from __future__ import annotations

from offline_prune.agents.agent import Agent

__all__ = ["default_method"]


def default_method(agent: Agent) -> str:
    """Name the method that keeps most of the return, as far as it can be had.

    Args:
        agent: What is to be pruned.

    Returns:
        ``"snip_flow"``, which follows every weight from inputs to outputs; ``"snip"`` where
        the wiring of some is not known (custom encoders, distributional heads).
    """
    followed = {name for path in agent.paths for name in path.weight_names}
    return "snip_flow" if followed.issuperset(agent.weights) else "snip"
