"""From the scores of an agent to its mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.agents.topology import Chain
from offline_prune.masks.allocation import Allocation, allocate
from offline_prune.masks.connectivity import connected_part, has_path
from offline_prune.masks.mask import Mask
from offline_prune.masks.reading import read_part
from offline_prune.masks.refill import refilled
from offline_prune.masks.structures import make_structure

__all__ = ["all_kept", "build_mask", "mask_from_kept"]


def build_mask(
    agent: Agent,
    scores: Mapping[str, Mapping[str, Tensor]],
    sparsity: Mapping[str, float],
    allocation: Allocation = "global",
    *,
    share_critics: bool = False,
    refill: bool = False,
    structure: str | None = None,
    within: Mapping[str, Tensor] | None = None,
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
        structure: What kept weights have in common besides their scores
            (:func:`~offline_prune.masks.structures.make_structure`); None for nothing.
        within: Weight name → boolean: the weights that a structure may keep; None for all.

    Returns:
        The mask: exactly ``round(N · (1 − s))`` weights a network, or over all critics
        together where they share a threshold.

    Raises:
        SparsityError: If an allocation leaves a layer more weights than its structure may keep.
    """
    made = None if structure is None else make_structure(structure)
    if made is not None:
        scores = made.ordered(agent, scores, sparsity, within or _everything(agent))
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
    if made is not None:
        pruned = [network for network in agent.networks if sparsity[network.role]]
        made.verify({name: kept[name] for network in pruned for name in network.weights})
    return mask_from_kept(agent, kept)


def mask_from_kept(agent: Agent, kept: Mapping[str, Tensor]) -> Mask:
    """Make a mask of an agent from the weights to keep.

    Args:
        agent: The agent.
        kept: Weight name → boolean tensor of the weight's shape, true = kept.

    Returns:
        The mask. Its connected part is the nominal mask itself for modules whose
        wiring is not known. Where a unit without inputs does not put out one constant
        (padded convolutions, batch normalisation) the units that nobody reads lose their
        weights, but not those without inputs: there it cannot be told what leads from an
        input to an output. Layer normalisation lets every unit change all others: there
        everything kept leads somewhere, or, behind a layer without a weight, nothing.
    """
    nominal = {name: mask.detach().cpu() for name, mask in kept.items()}
    chains = [chain for chain in agent.chains if chain.constant_units_fold]
    roles = {network.role: tuple(network.weights) for network in agent.networks}
    unfollowed = frozenset(nominal) - agent.followed | _names(agent.chains) - _names(chains)
    normalised = [path for path in agent.paths if not _names([path]) & _names(agent.chains)]
    severed = _names([path for path in normalised if not has_path(path, nominal)])
    connected = connected_part(chains, nominal)
    others = [s.graph for s in agent.separable if s.layers[0].name not in _names(chains)]
    return Mask(nominal, read_part(others, connected), roles, unfollowed, severed)


def _everything(agent: Agent) -> dict[str, Tensor]:
    """Weight name → all true, beside the weight."""
    return {n: torch.ones_like(w, dtype=torch.bool) for n, w in agent.weights.items()}


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
