"""What may be asked of a mask, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import check_switch
from offline_prune.errors import EmptyNetworkError, SparsityError, UnknownNameError
from offline_prune.masks.allocation import Allocation, check_sparsity, make_allocation
from offline_prune.masks.build import build_mask

__all__ = ["check_allocation", "check_request"]


def check_allocation(allocation: Allocation | None) -> None:
    """Check the name and arguments of an allocation; given densities need an agent for that.

    Args:
        allocation: A name with arguments or without, the density of every layer, or None for
            the method's own.

    Raises:
        UnknownNameError: If there is no allocation of this name.
        InputError: If it cannot be read, or its arguments do not fit.
    """
    if allocation is not None and not isinstance(allocation, Mapping):
        make_allocation(allocation)


def check_request(
    agent: Agent,
    sparsity: float | Mapping[str, float],
    allocation: Allocation | None,
    share_critics: bool = False,
) -> dict[str, float]:
    """Check what is asked for before any work is done.

    Args:
        agent: The agent.
        sparsity: One number for all networks or role → number.
        allocation: Name of the allocation, with arguments or without, or the density of every
            layer; None for the method's own.
        share_critics: Whether all critics share one threshold.

    Returns:
        Role → sparsity, for every network.

    Raises:
        SparsityError: If a sparsity is outside [0, 1), critics that share a threshold
            were given different ones, or given densities amount to another one.
        EmptyNetworkError: If it would leave a network without a weight.
        UnknownNameError: If a role, a layer or the allocation does not exist.
    """
    check_allocation(allocation)
    layers = set(allocation) if isinstance(allocation, Mapping) else set()
    if unknown := sorted(layers - set(agent.weights), key=str):
        raise UnknownNameError("layer", str(unknown[0]), agent.weights)
    if isinstance(sparsity, Mapping):
        sparsity = {role: check_sparsity(value) for role, value in sparsity.items()}
    else:
        sparsity = check_sparsity(sparsity)
    per_network = agent.per_network(sparsity)
    for network in agent.networks:
        asked = per_network[network.role]
        if round(network.n_weights * (1.0 - asked)) == 0:
            most = 1.0 - 1.0 / network.n_weights
            raise EmptyNetworkError(
                f"Sparsity {asked} leaves {network.role} empty: it has"
                f" {network.n_weights} prunable weights, and one of them must stay."
                f" The highest sparsity possible is {most:.6f}."
            )
    critics = {s for role, s in per_network.items() if role.startswith("critic")}
    if check_switch("share_critics", share_critics) and len(critics) > 1:
        raise SparsityError(
            f"Critics that share one threshold must have the same sparsity, not {sorted(critics)}."
        )
    if isinstance(allocation, Mapping):
        # Any scores will do to see whether the densities come to what is asked for.
        scores = {
            net.role: {name: weight.detach() for name, weight in net.weights.items()}
            for net in agent.networks
        }
        build_mask(agent, scores, per_network, allocation, share_critics=share_critics)
    return per_network
