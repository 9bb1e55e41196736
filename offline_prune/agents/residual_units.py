"""Units of IMPALA encoders and Impoola, those that identity connections tie together as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from offline_prune.agents.topology import Layer
from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits
from offline_prune.encoders.impala import (
    ImpalaEncoder,
    ImpalaEncoderWithAction,
    ImpalaStage,
    ResidualBlock,
)

__all__ = ["residual_units"]


class _Builder:
    """Units and weights so far."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.units: list[UnitLayer] = []
        self.weights: list[WeightOfUnits] = []
        self.layers: list[Layer] = []

    def add(self, layer: nn.Linear | nn.Conv2d, *read: Segment) -> Segment:
        """Note a layer whose rows are units of their own; what reads them reads this."""
        size = layer.weight.shape[0]
        self.units.append(UnitLayer(self.names[id(layer.weight)], size))
        self.note(layer, len(self.units) - 1, *read)
        return Segment(len(self.units) - 1, size)

    def note(self, layer: nn.Linear | nn.Conv2d, rows: int | None, *read: Segment) -> None:
        """Note a layer whose rows are units that are there, or outputs."""
        name = self.names[id(layer.weight)]
        self.weights.append(WeightOfUnits(name, tuple(layer.weight.shape), rows, read))
        self.layers.append(Layer(name, layer))


def residual_units(
    encoder: nn.Module, heads: Sequence[nn.Linear], names: Mapping[int, str]
) -> tuple[UnitGraph, tuple[Layer, ...]] | None:
    """Find the units of an IMPALA encoder, as it is built.

    What the convolution of a stage puts out, both blocks read and add to: the channels of the
    three are one layer of units, which the next stage reads, or the linear layer, flattened or
    averaged. The channels inside a block are a layer of their own.

    Args:
        encoder: Any encoder, in its original layers.
        heads: What reads it.
        names: ``id`` of a weight → the name its mask has.

    Returns:
        The units, and the layer of each weight of the graph in its order; None of another
        encoder, or one with other blocks.
    """
    if type(encoder) not in (ImpalaEncoder, ImpalaEncoderWithAction):
        return None
    assert isinstance(encoder, ImpalaEncoder | ImpalaEncoderWithAction)
    builder = _Builder(names)
    channels: Segment | None = None
    for stage in encoder.torso.stages:
        if type(stage) is not ImpalaStage:
            return None
        before = channels or Segment(None, stage.convolution.in_channels)
        channels = builder.add(stage.convolution, before)
        for block in stage.blocks:
            if type(block) is not ResidualBlock:
                return None
            inner = builder.add(block.first, channels)
            builder.note(block.second, channels.layer, inner)
    assert channels is not None  # there is a stage at least
    owned = encoder.torso.output_size
    actions = encoder.last.in_features - owned
    rest = (Segment(None, actions),) if actions else ()
    features = builder.add(encoder.last, Segment(channels.layer, owned), *rest)
    for head in heads:
        builder.note(head, None, features)
    return UnitGraph(tuple(builder.units), tuple(builder.weights)), tuple(builder.layers)
