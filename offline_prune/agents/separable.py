"""Networks whose units may leave one by one, once nobody reads them.

What no weight reads has no effect and no gradient, whatever its own weights, padding or batch
normalisation make of it. So much is true wherever everything between two layers treats every
unit on its own; dropout does too, but draws as many numbers as there are units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from offline_prune.agents.topology import Chain, Layer, Stage
from offline_prune.agents.units import UnitGraph, chain_units, without_layers

__all__ = ["BatchNorm", "Separable", "UnitNorm", "find_separable", "separable_chain"]

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


@dataclass(frozen=True)
class UnitNorm:
    """Batch normalisation of the units of one layer.

    Attributes:
        layer: Name of the weight whose rows the units are.
        module: The normalisation.
        silent: What it reads of a unit whose weights and bias are zero.
    """

    layer: str
    module: BatchNorm
    silent: float


@dataclass(frozen=True)
class Separable:
    """An encoder and its heads, as units that may leave one by one.

    Attributes:
        graph: The units that may leave, and all weights.
        layers: The weights' layers, in the order of ``graph.weights``.
        norms: Batch normalisation of units that may leave.
        owners: The modules that hold the encoder and its heads.
    """

    graph: UnitGraph
    layers: tuple[Layer, ...]
    norms: tuple[UnitNorm, ...] = ()
    owners: tuple[nn.Module, ...] = ()

    def units(self, live: Mapping[str, Tensor]) -> list[Tensor]:
        """Flags a weight as flags a unit layer.

        Args:
            live: Weight name → (out,) boolean; the same for weights whose rows are the same
                units.

        Returns:
            (size,) boolean of each layer of :attr:`graph`.
        """
        return [live[layer.name] for layer in self.graph.layers]


def find_separable(chains: Iterable[Chain]) -> tuple[Separable, ...]:
    """Networks of an agent whose units may leave one by one.

    Args:
        chains: Its stacks of layers.

    Returns:
        One a chain.
    """
    return tuple(separable_chain(chain) for chain in chains)


def separable_chain(chain: Chain) -> Separable:
    """The units of a stack of layers that may leave one by one.

    Args:
        chain: The stack.

    Returns:
        All units of its hidden layers, but those that dropout follows: with fewer of them it
        would draw other numbers.
    """
    hidden = chain.stages[:-1]
    leaving = [all(_is_apart(module) for module in stage.after) for stage in hidden]
    staying = [number for number, leaves in enumerate(leaving) if not leaves]
    norms: list[UnitNorm] = []
    for stage, leaves in zip(hidden, leaving, strict=True):
        norms += _norms(stage) if leaves else []
    graph = without_layers(chain_units(chain), staying)
    return Separable(graph, chain.layers, tuple(norms), chain.owners)


def _is_apart(module: nn.Module) -> bool:
    """Whether a module does with every unit what it would do without the others."""
    if isinstance(module, BatchNorm):
        return module.eps > 0.0  # else a unit that never changes is a division by zero
    return not isinstance(module, nn.Dropout | nn.Dropout2d)


@torch.no_grad()
def _norms(stage: Stage) -> list[UnitNorm]:
    """The batch normalisation of a stage's units."""
    found = []
    silent = torch.zeros(1)
    for module in stage.after:
        if isinstance(module, BatchNorm):
            found.append(UnitNorm(stage.layers[0].name, module, float(silent)))
            silent = torch.zeros(1)  # scale and shift are zero
        else:
            silent = module(silent)
    return found
