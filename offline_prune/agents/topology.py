"""How the units of an agent's modules feed one another.

A :class:`Chain` is a stack of layers from inputs to heads, as d3rlpy builds them:
encoder (convolutions, linear layers), then one or more linear heads. It is what decides
which weights lie on a path from an input to an output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import d3rlpy.models.torch as d3
import torch
from d3rlpy.models.torch.encoders import (
    PixelEncoder,
    PixelEncoderWithAction,
    VectorEncoder,
    VectorEncoderWithAction,
)
from d3rlpy.torch_utility import Swish
from torch import Tensor, nn

from offline_prune.agents.own_encoders import flattened_size, registered_layers
from offline_prune.ofenet.encoder import OFENetReader

__all__ = [
    "POOLING",
    "Chain",
    "Layer",
    "Stage",
    "chain_of",
    "constants_fold",
    "find_chains",
    "headed",
]

_HEADED = (
    d3.CategoricalPolicy,
    d3.ContinuousMeanQFunction,
    d3.ContinuousQRQFunction,
    d3.DeterministicPolicy,
    d3.DeterministicResidualPolicy,
    d3.DiscreteMeanQFunction,
    d3.DiscreteQRQFunction,
    d3.NormalPolicy,
    d3.VAEDecoder,
    d3.VAEEncoder,
    d3.ValueFunction,
)

# Applied to every unit on its own, the same in training and in evaluation.
_UNITWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.LeakyReLU,
    nn.Sigmoid,
    nn.Identity,
    Swish,
)
# Applied to every unit on its own too, but a constant input does not give a constant
# output in both training and evaluation.
_UNITWISE_IN_EVALUATION = (nn.Dropout, nn.Dropout2d, nn.BatchNorm1d, nn.BatchNorm2d)


POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d)
"""Applied to every channel on its own."""


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution, under the name its mask has."""

    name: str
    module: nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Stage:
    """Layers that read the same units, and what happens to their outputs.

    Attributes:
        layers: One layer; the heads of the last stage may be several (mean and
            log-standard deviation).
        repeat: Input columns a unit of the stage before owns: 1, or H·W where
            channels were flattened. Columns beyond those (an action appended to the
            features) are inputs of the network.
        after: Modules applied to the outputs in order, to every unit on its own.
    """

    layers: tuple[Layer, ...]
    repeat: int
    after: tuple[nn.Module, ...]

    def activate(self, x: Tensor) -> Tensor:
        """Apply the modules that follow the stage's layers."""
        for module in self.after:
            x = module(x)
        return x


@dataclass(frozen=True)
class Chain:
    """A stack of stages from the inputs of a module to its heads.

    Attributes:
        stages: In order; every input of the first and every output of the last counts
            as in use.
        constant_units_fold: Whether a unit without inputs puts out one constant that a
            bias of the next layer can take over exactly, in training and evaluation:
            false with dropout, batch normalisation or pooling, and where a padded
            convolution or a layer without a bias reads units that have one.
        owners: The modules that hold the encoder and its heads (a policy, a Q
            function); several where they share the encoder.
    """

    stages: tuple[Stage, ...]
    constant_units_fold: bool
    owners: tuple[nn.Module, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The chain's layers, in order."""
        return tuple(layer for stage in self.stages for layer in stage.layers)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the chain's weights, in order."""
        return tuple(layer.name for layer in self.layers)


def _layers_of(encoder: nn.Module) -> list[nn.Module] | None:
    if isinstance(encoder, VectorEncoder | VectorEncoderWithAction | OFENetReader):
        return list(encoder._layers)  # of a reader, features are the inputs
    if isinstance(encoder, PixelEncoder | PixelEncoderWithAction):
        return [*encoder._cnn_layers, nn.Flatten(), *encoder._last_layers]
    return registered_layers(encoder)


def constants_fold(stages: Sequence[Stage]) -> bool:
    """Whether :attr:`Chain.constant_units_fold` holds for a chain of these stages."""
    after = (module for stage in stages for module in stage.after)
    return all(isinstance(module, _UNITWISE) for module in after) and all(
        _puts_out_zeros(before) or all(_takes_constants(layer.module) for layer in stage.layers)
        for before, stage in pairwise(stages)
    )


def _puts_out_zeros(stage: Stage) -> bool:
    """Whether units without inputs put out 0, which nobody has to take over."""
    has_bias = any(layer.module.bias is not None for layer in stage.layers)
    return not has_bias and not bool(stage.activate(torch.zeros(1)).any())


def _takes_constants(module: nn.Linear | nn.Conv2d) -> bool:
    """Whether its bias can take over what a constant adds; padding breaks it at the border."""
    return module.bias is not None and getattr(module, "padding", 0) in (0, (0, 0))


def chain_of(
    modules: Iterable[nn.Module],
    heads: Sequence[nn.Linear],
    names: Mapping[int, str],
    *,
    owners: Sequence[nn.Module] = (),
    appended: int = 0,
    normalised: bool = False,
) -> Chain | None:
    """The chain of modules that follow one another.

    Args:
        modules: From the inputs on, the last one before the heads; what a convolution puts
            out is flattened in front of a linear layer.
        heads: What reads it.
        names: ``id`` of a weight → the name its mask has.
        owners: The modules that hold them.
        appended: Inputs that join the flattened channels of a convolution.
        normalised: As :func:`find_chains` takes it.

    Returns:
        The chain; None where one of the modules is no layer and nothing that is applied to
        every unit on its own.
    """
    behind = (*_UNITWISE, *_UNITWISE_IN_EVALUATION, *POOLING, *([nn.LayerNorm] * normalised))
    stages: list[Stage] = []

    def add(layers: Sequence[nn.Linear | nn.Conv2d]) -> bool:
        """Put a stage behind those that are there; False if it cannot read them."""
        before, reader, repeat = stages[-1].layers[0].module if stages else None, layers[0], 1
        if isinstance(before, nn.Conv2d) and isinstance(reader, nn.Linear):
            repeat = (reader.in_features - appended) // before.out_channels
        named = tuple(Layer(names[id(layer.weight)], layer) for layer in layers)
        stages.append(Stage(named, repeat, ()))
        return repeat > 0  # not where channels are read that nothing flattened

    for module in modules:
        if isinstance(module, nn.Linear | nn.Conv2d):
            if getattr(module, "groups", 1) != 1 or not add([module]):
                return None
        elif isinstance(module, nn.Flatten):
            continue
        elif isinstance(module, nn.Dropout | nn.Dropout2d) and not module.p:
            continue  # d3rlpy's pixel encoders hold dropout layers that drop nothing
        elif stages and isinstance(module, behind) and _fits(module, stages[-1]):
            stages[-1] = replace(stages[-1], after=(*stages[-1].after, module))
        else:
            return None
    if not add(heads):
        return None
    return Chain(tuple(stages), constants_fold(stages), tuple(owners))


def _appended(
    encoder: nn.Module,
    modules: Sequence[nn.Module],
    heads: Sequence[nn.Linear],
    observation_shape: Sequence[int],
) -> int:
    """Inputs that join an encoder's flattened channels; all of a layer's where none are."""
    if isinstance(encoder, PixelEncoderWithAction):
        return int(encoder._action_size)
    if isinstance(encoder, PixelEncoder) or not any(isinstance(m, nn.Conv2d) for m in modules):
        return 0
    reader = next(module for module in (*modules, *heads) if isinstance(module, nn.Linear))
    return reader.in_features - flattened_size(modules, observation_shape)


def _fits(module: nn.Module, stage: Stage) -> bool:
    """Whether batch normalisation is one of a stage's units, not of flattened channels."""
    units = stage.layers[0].module.weight.shape[0]
    return not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) or module.num_features == units


def find_chains(
    modules: Iterable[nn.Module],
    names: Mapping[int, str],
    observation_shape: Sequence[int] = (),
    *,
    normalised: bool = False,
) -> tuple[Chain, ...]:
    """Chains of an agent's modules, heads on a shared encoder together.

    Args:
        modules: Top modules: a policy, one Q function, ….
        names: ``id`` of a weight → the name its mask has; a target's weights carry the
            names of their online twins. Modules whose weights are not named are left
            out.
        observation_shape: Of the agent; asked for by registered encoders of images.
        normalised: Whether stacks with layer normalisation count: what flows along the
            weights can be told there too, but every unit it reads changes all that it puts
            out, so none of them is dead.

    Returns:
        One chain an encoder. A module whose wiring is not known (custom encoders,
        layer normalisation unless asked for, distributional heads) has none: all its kept
        weights count as connected.
    """
    found = []
    for encoder, heads, owners in headed(modules, names):
        layers = _layers_of(encoder)
        if layers is not None:
            appended = _appended(encoder, layers, heads, observation_shape)
            found.append(
                chain_of(
                    layers, heads, names, owners=owners, appended=appended, normalised=normalised
                )
            )
    return tuple(chain for chain in found if chain is not None)


def headed(
    modules: Iterable[nn.Module], names: Mapping[int, str]
) -> Iterator[tuple[nn.Module, list[nn.Linear], list[nn.Module]]]:
    """Encoders with the linear heads that read them.

    Args:
        modules: Top modules.
        names: ``id`` of a weight → its name; modules without a named one are left out.

    Yields:
        An encoder, all heads on it, and the modules that hold these. Encoders that anything
        but linear heads of d3rlpy's known modules reads are left out.
    """
    grouped: dict[int, tuple[nn.Module, list[Any], list[nn.Module]]] = {}
    opaque: set[int] = set()
    for module in modules:
        encoder = getattr(module, "_encoder", None)
        named = any(id(parameter) in names for parameter in module.parameters())
        if encoder is None or not named:
            continue
        heads = [child for child in module.children() if child is not encoder]
        if type(module) not in _HEADED or not all(isinstance(head, nn.Linear) for head in heads):
            opaque.add(id(encoder))
        _, all_heads, owners = grouped.setdefault(id(encoder), (encoder, [], []))
        all_heads += heads
        owners.append(module)
    yield from (found for key, found in grouped.items() if key not in opaque)
