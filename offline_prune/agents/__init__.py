"""Agents: d3rlpy algorithms seen as networks with losses, targets and wiring."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.agents.build import build_agent
from offline_prune.agents.network import Network
from offline_prune.agents.own_encoders import register_layers
from offline_prune.base import quiet  # noqa: F401
from offline_prune.recipes.algorithms import AlgorithmRecipe, algorithm_recipes

__all__ = [
    "Agent",
    "AlgorithmRecipe",
    "Network",
    "algorithm_recipes",
    "build_agent",
    "register_layers",
]
