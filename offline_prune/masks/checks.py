"""What may be asked of a mask, checked before any work is done."""

from __future__ import annotations

from collections.abc import Mapping

from offline_prune.agents.agent import Agent
from offline_prune.base.arguments import check_switch
from offline_prune.errors import EmptyNetworkError, InputError, SparsityError, UnknownNameError
from offline_prune.masks.allocation import (
    Allocation,
    check_sparsity,
    is_constant_fan_in,
    make_allocation,
)
from offline_prune.masks.build import build_mask
from offline_prune.masks.structures import kind_of, make_structure

__all__ = ["check_allocation", "check_request", "check_structure_with"]


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


def check_structure_with(structure: str, allocation: Allocation | None, refill: bool) -> None:
    """Refuse what a structure does not go with.

    Args:
        structure: Of the mask.
        allocation: As in :func:`check_request`.
        refill: Whether weights that lead nowhere make room for others.

    Raises:
        InputError: If units are to keep a constant fan-in and to leave whole, or in blocks; or
            if refilling would break blocks or groups up.
    """
    kind = kind_of(make_structure(structure))
    if kind != "n:m" and allocation is not None and is_constant_fan_in(allocation):
        raise InputError(
            f"structure={structure!r} lets whole units or blocks go, and a constant fan-in keeps"
            " as many weights of every unit. Ask for one of them, or for n of m, such as '1:20'."
        )
    if kind != "units" and refill:
        raise InputError(
            f"refill keeps single weights, and structure={structure!r} keeps no single ones as"
            " it likes. Ask for one of them."
        )


def check_request(
    agent: Agent,
    sparsity: float | Mapping[str, float],
    allocation: Allocation | None,
    share_critics: bool = False,
    structure: str | None = None,
    refill: bool = False,
) -> dict[str, float]:
    """Check what is asked for before any work is done.

    Args:
        agent: The agent.
        sparsity: One number for all networks or role → number.
        allocation: Name of the allocation, with arguments or without, or the density of every
            layer; None for the method's own.
        share_critics: Whether all critics share one threshold.
        structure: Of the mask; None for none.
        refill: Whether weights that lead nowhere make room for others.

    Returns:
        Role → sparsity, for every network.

    Raises:
        InputError: If a structure does not suit the networks, the allocation or ``refill``.
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
    if structure is not None:
        check_structure_with(structure, allocation, refill)
        make_structure(structure).check(agent, per_network)
    if isinstance(allocation, Mapping) or (structure is not None and allocation is not None):
        # Any scores will do to see whether the densities come to what is asked for, and leave
        # layers no more than a structure may keep.
        scores = {
            net.role: {name: weight.detach() for name, weight in net.weights.items()}
            for net in agent.networks
        }
        build_mask(
            agent,
            scores,
            per_network,
            allocation,
            share_critics=share_critics,
            structure=structure,
        )
    return per_network
