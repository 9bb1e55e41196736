"""Networks that nothing passes any more."""

from __future__ import annotations

import warnings

from offline_prune.agents.agent import Agent
from offline_prune.masks.connectivity import has_path
from offline_prune.masks.mask import Mask

__all__ = ["LayerCollapseWarning", "warn_of_collapse"]


class LayerCollapseWarning(UserWarning):
    """A network lost every path from its inputs to its outputs."""


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
