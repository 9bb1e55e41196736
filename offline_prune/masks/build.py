"""From the scores of an agent to its mask."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.topology import Chain
from offline_prune.base.arguments import check_switch
from offline_prune.errors import EmptyNetworkError, SparsityError, UnknownNameError
from offline_prune.masks.allocation import Allocation, allocate, check_sparsity, make_allocation
from offline_prune.masks.connectivity import connected_part, has_path
from offline_prune.masks.mask import Mask
from offline_prune.masks.refill import refilled

__all__ = [
    "LayerCollapseWarning",
    "all_kept",
    "build_mask",
    "check_allocation",
    "check_request",
    "mask_from_kept",
    "warn_of_collapse",
]


class LayerCollapseWarning(UserWarning):
    """A network lost every path from its inputs to its outputs."""


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


def build_mask(
    agent: Agent,
    scores: Mapping[str, Mapping[str, Tensor]],
    sparsity: Mapping[str, float],
    allocation: Allocation = "global",
    *,
    share_critics: bool = False,
    refill: bool = False,
) -> Mask:
    """Allocate each network's weights by its own scores.

    Scores of different networks are never compared: the scales of their losses would
    decide. Twin critics share a scale and may share a threshold, but one that does
    can starve a head.

    Args:
        agent: The agent the scores belong to.
        scores: Role → weight name → score; higher = keep.
        sparsity: Role → sparsity in [0, 1).
        allocation: As in :func:`~offline_prune.masks.allocation.allocate`.
        share_critics: Whether all critics share one threshold.
        refill: Whether weights on no path from an input to an output make room for the
            next best scores (:func:`~offline_prune.masks.refill.refilled`).

    Returns:
        The mask: exactly ``round(N · (1 − s))`` weights a network, or over all critics
        together where they share a threshold.
    """
    critics = [role for role in agent.roles if role.startswith("critic")]
    groups = [[role] for role in agent.roles if not (share_critics and role in critics)]
    if share_critics and critics:
        # In the place of the first: heads that read a critic's encoder are refilled after it.
        groups.insert(agent.roles.index(critics[0]), critics)
    kept: dict[str, Tensor] = {}
    groups_of: dict[str, dict[str, Tensor]] = {}
    for group in groups:
        merged = {name: s for role in group for name, s in scores[role].items()}
        groups_of[group[0]] = merged
        kept |= allocate(merged, sparsity[group[0]], allocation)
    if refill:
        chains = [chain for chain in agent.chains if chain.constant_units_fold]
        for role, merged in groups_of.items():
            kept |= refilled(chains, kept, merged, sparsity[role], allocation)
    return mask_from_kept(agent, kept)


def mask_from_kept(agent: Agent, kept: Mapping[str, Tensor]) -> Mask:
    """Make a mask of an agent from the weights to keep.

    Args:
        agent: The agent.
        kept: Weight name → boolean tensor of the weight's shape, true = kept.

    Returns:
        The mask. Its connected part is the nominal mask itself for modules whose
        wiring is not known and for those in which a unit without inputs does not put
        out one constant (batch normalisation, dropout), and of which it cannot be told what
        leads to an output. Layer normalisation lets every unit change all others: there
        everything kept leads somewhere, or, behind a layer without a weight, nothing.
    """
    nominal = {name: mask.detach().cpu() for name, mask in kept.items()}
    chains = [chain for chain in agent.chains if chain.constant_units_fold]
    roles = {network.role: tuple(network.weights) for network in agent.networks}
    unfollowed = frozenset(nominal) - agent.followed | _names(agent.chains) - _names(chains)
    normalised = [path for path in agent.paths if not _names([path]) & _names(agent.chains)]
    severed = _names([path for path in normalised if not has_path(path, nominal)])
    return Mask(nominal, connected_part(chains, nominal), roles, unfollowed, severed)


def _names(chains: Iterable[Chain]) -> frozenset[str]:
    return frozenset(name for chain in chains for name in chain.weight_names)


def all_kept(agent: Agent) -> dict[str, Tensor]:
    """Keep everything.

    Args:
        agent: The agent.

    Returns:
        Weight name → boolean tensor of the weight's shape, all true.
    """
    return {n: torch.ones(w.shape, dtype=torch.bool) for n, w in agent.weights.items()}


def warn_of_collapse(agent: Agent, mask: Mask) -> list[str]:
    """Warn of modules in which no input reaches an output any more.

    Args:
        agent: The agent.
        mask: Its mask.

    Returns:
        One message a collapsed module; each is also issued as a
        :class:`LayerCollapseWarning`.
    """
    owner = {name: role for role, names in mask.roles.items() for name in names}
    messages = []
    for chain in agent.paths:
        if has_path(chain, mask.nominal):
            continue
        names = chain.weight_names
        roles = ", ".join(dict.fromkeys(owner[name] for name in names))
        empty = [name for name in names if name in mask.empty_layers]
        where = f" Layers without a single weight: {', '.join(empty)}." if empty else ""
        messages.append(
            f"No path from input to output is left in {roles}: its output no longer"
            f" depends on its input.{where} Lower the sparsity, or try"
            ' allocation="erk", which gives every layer its share.'
        )
    followed = agent.followed
    for name in mask.empty_layers:
        if name not in followed:
            messages.append(
                f"{name} in {owner[name]} has not a single weight left: nothing passes it. How"
                " it is wired is not known, so what still leads to an output cannot be told."
                ' Lower the sparsity, or try allocation="erk", which gives every layer its share.'
            )
    for message in messages:
        warnings.warn(message, LayerCollapseWarning, stacklevel=2)
    return messages
