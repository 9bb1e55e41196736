"""Networks whose units may leave one by one, once nobody reads them.

What no weight reads has no effect and no gradient, whatever its own weights, padding or batch
normalisation make of it. So much is true wherever everything between two layers treats every
unit on its own; dropout does too, but draws as many numbers as there are units. Channels that
identity connections tie together are one unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from offline_prune.agents.residual_units import residual_units
from offline_prune.agents.topology import POOLING, Chain, Layer, Stage, headed
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


def find_separable(
    modules: Iterable[nn.Module], names: Mapping[int, str], chains: Iterable[Chain]
) -> tuple[Separable, ...]:
    """Networks of an agent whose units may leave one by one.

    Args:
        modules: Top modules: a policy, one Q function, ….
        names: ``id`` of a weight → the name its mask has; modules without a named one are left
            out.
        chains: The stacks of layers among them.

    Returns:
        One for every chain, and for every IMPALA encoder (or Impoola) with its heads.
    """
    found = [separable_chain(chain) for chain in chains]
    for encoder, heads, owners in headed(modules, names):
        if (residual := residual_units(encoder, heads, names)) is not None:
            graph, layers = residual
            found.append(Separable(graph, layers, owners=tuple(owners)))
    return tuple(found)


def separable_chain(chain: Chain) -> Separable:
    """The units of a stack of layers that may leave one by one.

    Args:
        chain: The stack.

    Returns:
        All units of its hidden layers, but those that dropout follows: with fewer of them it
        would draw other numbers.
    """
    norms = [_norms(stage) for stage in chain.stages[:-1]]
    staying = [number for number, found in enumerate(norms) if found is None]
    graph = without_layers(chain_units(chain), staying)
    own = tuple(norm for found in norms for norm in found or ())
    return Separable(graph, chain.layers, own, chain.owners)


@torch.no_grad()
def _norms(stage: Stage) -> list[UnitNorm] | None:
    """The batch normalisation of a stage's units; None where these do not leave one by one."""
    found = []
    silent = torch.zeros(1)
    for module in stage.after:
        if isinstance(module, BatchNorm):
            if not module.eps > 0.0:
                return None  # a unit that never changes would be a division by zero
            found.append(UnitNorm(stage.layers[0].name, module, float(silent)))
            silent = torch.zeros(1)  # scale and shift are zero
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            return None
        elif not isinstance(module, POOLING):
            silent = module(silent)
        elif silent.any():
            return None  # padding of zeros: what is pooled is not the same everywhere
    return found
