"""The linear layers of d3rlpy's transformers that the sparse kernels can compute, block by block.

What is between them (attention, dropout, normalisation, residual additions) stays d3rlpy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from d3rlpy.models.torch.transformers import (
    MLP,
    CausalSelfAttention,
    ContinuousDecisionTransformer,
    DiscreteDecisionTransformer,
)
from torch import nn

from offline_prune.agents.stacks import Affine, Stack, activation_name
from offline_prune.agents.topology import Layer

__all__ = ["find_transformer_stacks"]


def find_transformer_stacks(
    modules: Iterable[nn.Module], names: Mapping[int, str]
) -> tuple[Stack, ...]:
    """Stacks within the transformers of an agent's modules.

    Args:
        modules: Top modules.
        names: ``id`` of a weight → the name its mask has. Layers whose weights are not named are
            left out.

    Returns:
        One for each of the queries, keys, values and projections of attention, one for the two
        layers of a block that follow one another (two where the kernels do not know their
        activation), and one for the output layer.
    """
    return tuple(
        Stack(_steps(parts, names), top, entry=parts[0][0], passed=passed)
        for top in modules
        if isinstance(top, ContinuousDecisionTransformer | DiscreteDecisionTransformer)
        for parts, passed in _runs(top)
        if all(id(layer.weight) in names for _, layer, _ in parts)
    )


_Part = tuple[str, nn.Linear, str]
"""Where a layer is, the layer, and the kernels' name of the activation behind it."""


def _runs(top: nn.Module) -> Iterator[tuple[list[_Part], tuple[str, ...]]]:
    """Layers that follow one another, and where the activations between them are."""
    for place, module in top.named_modules():
        if isinstance(module, CausalSelfAttention):
            layers = {"_q": module._q, "_k": module._k, "_v": module._v, "_proj": module._proj}
            for name, layer in layers.items():
                yield [(f"{place}.{name}", layer, "none")], ()
        elif isinstance(module, MLP):
            activation = activation_name(module._activation)
            first = (f"{place}._l1", module._l1, activation or "none")
            second = (f"{place}._l2", module._l2, "none")
            if activation is None:
                yield [first], ()
                yield [second], ()
            else:
                yield [first, second], (f"{place}._activation",)
        elif isinstance(module, ContinuousDecisionTransformer | DiscreteDecisionTransformer):
            yield [("_output", module._output, "none")], ()


def _steps(parts: Iterable[_Part], names: Mapping[int, str]) -> tuple[Affine, ...]:
    return tuple(
        Affine((Layer(names[id(layer.weight)], layer),), i - 1, activation)
        for i, (_, layer, activation) in enumerate(parts)
    )
