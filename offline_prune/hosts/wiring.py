"""Networks of plain torch modules: what they are made of, and how their units feed one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.agents.network import is_prunable
from offline_prune.agents.topology import Chain, chain_of

__all__ = ["Part", "Tower", "chains_of", "prunable_weights", "together"]

Layers = Callable[[nn.Module], Iterable[nn.Module] | None]
"""A module → the modules that follow one another in it; None where that is not known."""


@dataclass(frozen=True)
class Part:
    """A network: modules that follow one another, and the heads that read the last.

    Attributes:
        role: Of the :class:`~offline_prune.agents.network.Network`.
        trunk: From the observation on.
        heads: Linear layers whose outputs are the network's.
        reads_actions: Whether an action joins what the first linear layer reads.
    """

    role: str
    trunk: tuple[nn.Module, ...]
    heads: tuple[Any, ...]
    reads_actions: bool = False

    @property
    def modules(self) -> Iterator[nn.Module]:
        """All modules in it, in order, inner ones after those that hold them."""
        return chained.from_iterable(top.modules() for top in (*self.trunk, *self.heads))


def prunable_weights(part: Part) -> list[nn.Parameter]:
    """The prunable weights of a part, those that it shares too.

    Args:
        part: The part.

    Returns:
        In order.
    """
    found: list[Any] = [module for module in part.modules if is_prunable(module)]
    return [module.weight for module in found]


class Tower(nn.Module):
    """Parts that share layers, as one function of the observation (and the action)."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Hold the modules of the parts; nothing of them changes.

        Args:
            parts: Parts of one agent.
        """
        super().__init__()
        self._parts = parts
        self._held = nn.ModuleList([module for p in parts for module in (*p.trunk, *p.heads)])

    @property
    def reads_actions(self) -> bool:
        """Whether a part reads actions."""
        return any(part.reads_actions for part in self._parts)

    @property
    def heads(self) -> list[nn.Module]:
        """The heads of all parts."""
        return [head for part in self._parts for head in part.heads]

    def forward(self, observation: Tensor, action: Tensor | None = None) -> list[Tensor]:
        """Outputs of all heads.

        Args:
            observation: (B, …), scaled.
            action: (B, A), where the parts read it.

        Returns:
            (B, outputs) of each head.
        """
        computed: dict[tuple[int, ...], Tensor] = {}
        outputs = []
        for part in self._parts:
            x, before = observation, tuple[int, ...]()
            for number, module in enumerate(part.trunk):
                if action is not None and part.reads_actions and number == 1:
                    x = torch.cat([x, action], dim=1)  # behind what extracts features
                before = (*before, id(module))
                x = computed[before] if before in computed else module(x)
                computed[before] = x
            outputs += [head(x) for head in part.heads]
        return outputs


def together(parts: Iterable[Part]) -> list[list[Part]]:
    """Parts in groups that share weights.

    Args:
        parts: Parts of one agent.

    Returns:
        The groups, in the order of their first parts.
    """
    groups: list[tuple[set[int], list[Part]]] = []
    for part in parts:
        own = {id(p) for module in part.modules for p in module.parameters(recurse=False)}
        joined = [part]
        for other in [group for group in groups if group[0] & own]:
            groups.remove(other)
            own, joined = own | other[0], [*other[1], *joined]
        groups.append((own, joined))
    return [joined for _, joined in groups]


def chains_of(
    parts: Iterable[Part],
    names: Mapping[int, str],
    owner: nn.Module,
    layers: Layers,
    *,
    normalised: bool = False,
) -> tuple[Chain, ...]:
    """How the units of parts feed one another.

    Args:
        parts: The parts; those that share weights but not their whole trunk have no chain.
        names: ``id`` of a weight → its name.
        owner: The module that holds all of them.
        layers: Looks into modules.
        normalised: As :func:`~offline_prune.agents.topology.find_chains` takes it.

    Returns:
        The chains that are known.
    """
    found = []
    for group in together(parts):
        trunks = {tuple(id(m) for m in part.modules if m not in part.heads) for part in group}
        laid = [layers(module) for module in group[0].trunk]
        if len(trunks) > 1 or any(part is None for part in laid):
            continue
        modules: list[Any] = [module for part in laid if part is not None for module in part]
        if group[0].reads_actions and any(isinstance(m, nn.Conv2d) for m in modules):
            continue
        heads = [head for part in group for head in part.heads]
        found.append(chain_of(modules, heads, names, owners=[owner], normalised=normalised))
    return tuple(chain for chain in found if chain is not None)
