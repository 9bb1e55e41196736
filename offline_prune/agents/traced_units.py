"""Units of networks of any wiring, found by tracing them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from offline_prune.agents.network import is_prunable
from offline_prune.agents.units import Segment, UnitGraph, UnitLayer, WeightOfUnits
from offline_prune.errors import AlgorithmError

__all__ = ["traced_units"]


def traced_units(
    module: nn.Module,
    inputs: Sequence[Tensor],
    heads: Iterable[nn.Module],
    names: Mapping[int, str],
) -> UnitGraph:
    """Find the units of a module, those that identity connections tie together as one.

    Torch-Pruning follows the autograd graph of one forward pass from every layer to
    whatever must lose a channel with it: convolutions whose outputs are added, the layers
    that read them, the columns that a flattened channel owns.

    Args:
        module: A policy or a Q function.
        inputs: Its inputs, two rows of anything.
        heads: Layers whose outputs are the module's; they lose none.
        names: ``id`` of a weight → the name its mask has.

    Returns:
        The units.

    Raises:
        AlgorithmError: If Torch-Pruning is not installed, or units of a layer are not side
            by side where they are read.

    References:
        Fang, Ma, Song, Mi, Wang 2023, DepGraph: towards any structural pruning, arXiv
        2301.12900.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise AlgorithmError(
            "Units of this encoder are found by tracing it: pip install"
            " 'offline-prune[structured]', which brings Torch-Pruning."
        ) from error
    layers: list[UnitLayer] = []
    rows: dict[int, int] = {}
    columns: dict[int, list[tuple[int, int] | None]] = {}
    with torch.enable_grad():
        graph = torch_pruning.DependencyGraph()
        graph.build_dependency(module, tuple(inputs), forward_fn=_outputs, verbose=False)
        groups = list(graph.get_all_groups(ignored_layers=list(heads)))
    for group in groups:
        number = len(layers)
        for item in group:
            part, function = item.dep.target.module, item.dep.handler
            if not is_prunable(part):
                continue
            if graph.is_out_channel_pruning_fn(function):
                if list(item.idxs) != list(item.root_idxs):
                    raise AlgorithmError(f"Units of {names[id(part.weight)]!r} change their order.")
                rows[id(part.weight)] = number
            else:
                found = columns.setdefault(id(part.weight), [None] * part.weight.shape[1])
                for column, unit in zip(item.idxs, item.root_idxs, strict=True):
                    found[column] = (number, unit)
        root = group[0].dep.target.module
        layers.append(UnitLayer(names[id(root.weight)], root.weight.shape[0]))
    weights = []
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            key, shape = id(part.weight), tuple(part.weight.shape)
            read = columns.get(key, [None] * shape[1])
            weights.append(
                WeightOfUnits(names[key], shape, rows.get(key), _segments(read, layers, names[key]))
            )
    return UnitGraph(tuple(layers), tuple(weights))


def _outputs(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The tensors of a policy's or a Q function's output."""
    output: Any = module(*inputs)
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, torch.distributions.Categorical):
        return [output.logits]
    if isinstance(output, torch.distributions.Normal):  # of a VAE's latent vector
        return [output.loc, output.scale]
    return [value for value in output if isinstance(value, Tensor) and value.requires_grad]


def _segments(
    read: Sequence[tuple[int, int] | None], layers: Sequence[UnitLayer], name: str
) -> tuple[Segment, ...]:
    """Neighbouring columns of one layer as segments, a unit's columns side by side."""
    found: list[Segment] = []
    layer_of = [None if unit is None else unit[0] for unit in read]
    for layer, run in itertools.groupby(range(len(read)), key=layer_of.__getitem__):
        own = list(run)
        if layer is not None:
            size = layers[layer].size
            repeat = len(own) // size
            expected = [(layer, unit) for unit in range(size) for _ in range(repeat)]
            if [read[column] for column in own] != expected:
                raise AlgorithmError(
                    f"The columns of {name!r} that read one unit are not side by side."
                )
        found.append(Segment(layer, len(own)))
    return tuple(found)
