"""SynFlow: how much flow from inputs to outputs passes through a weight."""

from __future__ import annotations

from offline_prune.agents.agent import Agent
from offline_prune.saliency.flow import flow_shares
from offline_prune.saliency.objective import Scores

__all__ = ["synflow"]


def synflow(agent: Agent) -> dict[str, Scores]:
    """Score a weight by the synaptic flow through it; no data, no loss.

    Formula: ``score = |w · ∂R/∂w| / R`` with ``R = 1ᵀ (Π_l |W_l|) 1``: the sum of all head
    outputs of the network of absolute weights for an input of ones, biases and
    activations left out, heads taken before they are squashed; divided by R, which changes
    no ranking within a stack (:func:`~offline_prune.saliency.flow.shares`). The scores into
    a hidden unit add up to those out of it, and those of every layer to 1.

    Pruned in one shot it keeps the flow no better than magnitude; see
    :class:`~offline_prune.methods.iterative.SynFlow`.

    Args:
        agent: The agent; its weights as they are now, pruned ones zero.

    Returns:
        Role → weight name → non-negative float64 score of the weight's shape.

    Raises:
        AlgorithmError: If the wiring of a network is not known.

    References:
        Tanaka, Kunin, Yamins, Ganguli 2020, arXiv 2006.05467.
    """
    absolute = {name: weight.detach().abs() for name, weight in agent.weights.items()}
    return flow_shares(agent, absolute, "SynFlow")
