"""Networks of plain torch modules: what they are made of, and how their units feed one another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.agents.topology import Chain, chain_of
from offline_prune.agents.units import Reader, Segment, UnitGraph, UnitLayer, Units, WeightOfUnits

__all__ = ["Part", "Tower", "chains_of", "prunable_weights", "together", "tree_units", "weight_of"]

Layers = Callable[[nn.Module], Iterable[nn.Module] | None]
"""A module → the modules that follow one another in it; None where that is not known."""


@dataclass(frozen=True)
class Part:
    """A network: modules that follow one another, and the heads that read the last.

    Attributes:
        role: Of the :class:`~offline_prune.agents.network.Network`.
        trunk: From the observation on.
        heads: Linear layers whose outputs are the network's.
        action_size: Length of the action that joins what is extracted of the observation; 0 for
            none.
    """

    role: str
    trunk: tuple[nn.Module, ...]
    heads: tuple[Any, ...]
    action_size: int = 0

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
    found = map(weight_of, part.modules)
    return [weight for weight in found if weight is not None]


def weight_of(module: nn.Module) -> nn.Parameter | None:
    """The weight of a layer that may be pruned.

    Args:
        module: Any module.

    Returns:
        The weight of a linear layer or a convolution, and of a noisy linear layer its mean; None of
        all others.
    """
    name = "weight" if isinstance(module, nn.Linear | nn.Conv2d) else "mu_W"
    weight = getattr(module, name, None)
    return weight if isinstance(weight, nn.Parameter) else None


class Tower(nn.Module):
    """Parts that share layers, as one function of the observation (and the action)."""

    def __init__(self, parts: Sequence[Part]) -> None:
        """Hold the modules of the parts; nothing of them changes.

        Args:
            parts: Parts of one agent.
        """
        super().__init__()
        self.parts = tuple(parts)
        self._held = nn.ModuleList([module for p in parts for module in (*p.trunk, *p.heads)])

    @property
    def action_size(self) -> int:
        """Length of the action that the parts read; 0 for none."""
        return max(part.action_size for part in self.parts)

    @property
    def heads(self) -> list[nn.Module]:
        """The heads of all parts."""
        return [head for part in self.parts for head in part.heads]

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
        for part in self.parts:
            x, before = observation, tuple[int, ...]()
            for module in part.trunk:
                before = (*before, id(module))
                x = computed[before] if before in computed else module(x)
                computed[before] = x
                if action is not None and part.action_size and len(before) == 1:
                    x = torch.cat([x, action], dim=1)  # behind what extracts features
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
        trunks = {_trunk(part) for part in group}
        laid = [layers(module) for module in group[0].trunk]
        if len(trunks) > 1 or any(part is None for part in laid):
            continue
        modules: list[Any] = [module for part in laid if part is not None for module in part]
        heads = [head for part in group for head in part.heads]
        appended = group[0].action_size if any(isinstance(m, nn.Conv2d) for m in modules) else 0
        if appended or not all(isinstance(head, nn.Linear) for head in heads):
            continue  # an action behind the channels of an extractor that ends in a linear layer
        found.append(chain_of(modules, heads, names, owners=[owner], normalised=normalised))
    return tuple(chain for chain in found if chain is not None)


def _trunk(part: Part) -> tuple[int, ...]:
    """Which modules do something below the heads; sequences may be empty."""
    below = (m for m in part.modules if m not in part.heads)
    return tuple(id(m) for m in below if not isinstance(m, nn.Sequential))


def tree_units(
    parts: Iterable[Part], targets: Iterable[Part], names: Mapping[int, str], layers: Layers
) -> Units | None:
    """Units of parts that share their first layers, a tree.

    Args:
        parts: The parts.
        targets: Their targets.
        names: ``id`` of a weight → its name.
        layers: Looks into modules.

    Returns:
        Every unit but the heads', and who reads it; None where the wiring is not known.
    """
    online = _walk(parts, layers)
    twins = _walk(targets, layers)
    if online is None or twins is None:
        return None
    hidden = [step for step in online if not step.is_head]
    number = {id(step.weight): i for i, step in enumerate(hidden)}
    weights = []
    for step in online:
        before = None if step.before is None else number[id(step.before.weight)]
        columns = step.weight.shape[1]
        owned = 0 if step.before is None else step.repeat * len(step.before.weight)
        segments = (Segment(before, owned), Segment(None, columns - owned))
        kept = tuple(segment for segment in segments if segment.columns)
        rows = None if step.is_head else number[id(step.weight)]
        weights.append(WeightOfUnits(names[id(step.weight)], tuple(step.weight.shape), rows, kept))
    unit_layers = tuple(UnitLayer(names[id(s.weight)], len(s.weight)) for s in hidden)
    places = {id(step.weight): i for i, step in enumerate(s for s in twins if not s.is_head)}
    readers = [
        Reader(step.module, at[id(step.before.weight)], step.repeat)
        for steps, at in ((online, number), (twins, places))
        for step in steps
        if step.before is not None
    ]
    return Units(UnitGraph(unit_layers, tuple(weights)), tuple(readers))


@dataclass(frozen=True)
class _Step:
    """A layer, and the one whose units it reads."""

    module: nn.Module
    weight: nn.Parameter
    before: _Step | None
    is_head: bool
    repeat: int


def _walk(parts: Iterable[Part], layers: Layers) -> list[_Step] | None:
    """The layers of parts, each once; None where they are not a tree."""
    steps: dict[int, _Step] = {}
    for part in parts:
        laid = [layers(module) for module in part.trunk]
        if any(found is None for found in laid):
            return None
        numbered = [(i, m) for i, found in enumerate(laid) if found is not None for m in found]
        numbered += [(len(laid), head) for head in part.heads]
        before: _Step | None = None
        joining = part.action_size
        for number, module in numbered:
            weight, is_head = weight_of(module), number == len(laid)
            if weight is None:
                continue
            joined = 0
            if number:  # the first layer behind the extractor, or all heads if there is none
                joined, joining = joining, joining if is_head else 0
            repeat = 1 if before is None else (weight.shape[1] - joined) // len(before.weight)
            step = steps.setdefault(id(weight), _Step(module, weight, before, is_head, repeat))
            if step.before is not before:
                return None
            before = before if is_head else step
    return list(steps.values())
