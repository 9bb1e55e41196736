"""Zeros that stay when somebody goes on training a finished agent."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch.utils.hooks import RemovableHandle

from offline_prune.agents.agent import Agent
from offline_prune.engines.zeros import hold_at_zero, pruned_entries, zero
from offline_prune.masks.mask import Mask

__all__ = ["keep_zeros", "let_go"]

_HELD: WeakKeyDictionary[Any, list[RemovableHandle]] = WeakKeyDictionary()


def keep_zeros(algo: Any, mask: Mask) -> None:
    """Keep the pruned weights of an algorithm at zero, whoever trains it from now on.

    Their gradients are zero in d3rlpy's ``fit``, ``fit_online`` and ``update``; nothing else
    changes, and what d3rlpy saves is the same.

    Args:
        algo: A built d3rlpy algorithm whose pruned weights are zero.
        mask: Its mask; the connected part is held.
    """
    let_go(algo)
    agent = Agent.of(algo)
    pruned = pruned_entries(agent, mask.connected)
    zero(agent, pruned)  # moments too: gradual pruning leaves some
    weights = agent.weights
    _HELD[algo] = [hold_at_zero(weights[name], entries) for name, entries in pruned.items()]


def let_go(algo: Any) -> None:
    """Let weights that :func:`keep_zeros` held train like all others.

    Args:
        algo: A d3rlpy algorithm, held or not.
    """
    for handle in _HELD.pop(algo, []):
        handle.remove()
