"""How a network of several stacks (a VAE's encoder and decoder) shares its weights among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from offline_prune.agents.agent import Agent
from offline_prune.masks.allocation import allocate
from offline_prune.masks.counts import kept_in
from offline_prune.saliency.objective import Scores

__all__ = ["StackBudgets", "stack_budgets", "within_budgets"]

StackBudgets: TypeAlias = Mapping[tuple[str, ...], int]
"""Weight names of a stack → weights that it may keep."""


def stack_budgets(
    agent: Agent, scores: Mapping[str, Tensor], sparsity: Mapping[str, float]
) -> dict[str, StackBudgets]:
    """Weights that one threshold over a network leaves each of its stacks.

    Args:
        agent: The agent.
        scores: Weight name → score; higher = keep.
        sparsity: Role → fraction of that network's weights to remove.

    Returns:
        Role of every network that has several stacks → their budgets, which add up to what
        it keeps.
    """
    budgets: dict[str, StackBudgets] = {}
    for network in agent.networks:
        stacks = [
            names
            for chain in agent.paths
            if (names := tuple(n for n in chain.weight_names if n in network.weights))
        ]
        if len(stacks) < 2:
            continue
        kept = allocate({name: scores[name] for name in network.weights}, sparsity[network.role])
        budgets[network.role] = {names: kept_in({n: kept[n] for n in names}) for names in stacks}
    return budgets


def within_budgets(scores: Scores, budgets: StackBudgets) -> Scores:
    """Scores that one threshold over a network parts as the budgets of its stacks say.

    Formula: ``log(r / n) / log(k / n)`` for the weight of rank ``r - ½`` among the n of its stack,
    which may keep k. A threshold t leaves every stack of a network the density ``(k / n)^t``:
    all 1 at 0, its budget at 1. Scores of 0, of weights on no path, stay 0.

    Args:
        scores: Weight name → score from 0 on, of one network; higher = keep.
        budgets: Of its stacks, of :func:`stack_budgets`.

    Returns:
        Weight name → score from 0 on, in the same order within a stack; as it was without a
        budget.
    """
    found = dict(scores)
    for names, count in budgets.items():
        flat = _flat(scores, names)
        n = flat.numel()
        rank = torch.empty_like(flat)
        order = torch.argsort(flat, descending=True, stable=True)
        rank[order] = torch.arange(0.5, n, dtype=flat.dtype, device=flat.device)
        density = min(max(count, 0.25), n - 0.25) / n  # no rank lies on an empty or a full one
        time = torch.where(flat > 0.0, torch.log(rank / n) / math.log(density), 0.0)
        parts = time.split([scores[name].numel() for name in names])
        found |= {name: part.view_as(scores[name]) for name, part in zip(names, parts, strict=True)}
    return found


def _flat(scores: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    return torch.cat([scores[name].detach().double().flatten() for name in names])
