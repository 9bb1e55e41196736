"""A stack of plain layers that computes what an encoder and its heads compute."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from offline_prune.agents.separable import BatchNorm, separable_chain
from offline_prune.agents.topology import Chain, Layer, Stage, chain_of, constants_fold
from offline_prune.compaction import (
    dense_packings,
    fill_layer,
    fill_norm,
    fold_constant_units,
)
from offline_prune.masks.connectivity import connected_part
from offline_prune.masks.live import live_units

__all__ = ["compact_layers", "compact_stack", "frozen"]

_Module = TypeVar("_Module", bound=nn.Module)


def frozen(module: _Module) -> _Module:
    """A copy of a module for evaluation on the CPU."""
    return copy.deepcopy(module).cpu().eval().requires_grad_(False)


@torch.no_grad()
def compact_stack(chain: Chain, heads: Sequence[nn.Module]) -> nn.Sequential:
    """Build the layers of a chain anew, without the units that the heads do not need.

    For evaluation alone: dropout leaves, and batch normalisation goes into the next
    layer. Weights that are exactly zero count as pruned. Units without inputs hand their
    constant to the next bias, where it is one, and leave; so do units that none of *these*
    heads reads.

    Args:
        chain: The chain; it and its modules stay as they are.
        heads: Some of the layers of its last stage; the outputs, in this order.

    Returns:
        Linear layers, convolutions, activations and a flattening, on the CPU; the last
        layer has the rows of all heads, one head below the other.
    """
    copied = _for_evaluation(chain, heads)
    kept = {layer.name: layer.module.weight != 0 for layer in copied.layers}
    if copied.constant_units_fold:
        fold_constant_units([copied], kept)
        kept = connected_part([copied], kept)
    network = separable_chain(copied)
    live = live_units([copied], kept, [network])
    for module, packings in dense_packings(network, live):
        values = {name: packing.pack(packing.originals) for name, packing in packings.items()}
        if isinstance(module, nn.Linear | nn.Conv2d):
            fill_layer(module, values["weight"], values.get("bias"))
        elif isinstance(module, BatchNorm):
            fill_norm(module, values)
    return _stacked(copied)


def compact_layers(layers: Sequence[nn.Module]) -> nn.Sequential | None:
    """Build layers anew that are applied one after the other, as :func:`compact_stack` does.

    Args:
        layers: In order, the last of them linear; they stay as they are. What convolutions put
            out is flattened by an ``nn.Flatten`` in front of a linear layer.

    Returns:
        Their compact form; None where other layers are among them than a chain has.
    """
    layers = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    if not layers or not isinstance(head := layers[-1], nn.Linear):
        return None
    prefix: list[nn.Module] = []
    rest: list[nn.Module] = []
    image = flat = False
    for layer in layers:
        if isinstance(layer, nn.Flatten):
            if (layer.start_dim, layer.end_dim) != (1, -1):
                return None
            if not rest:
                prefix = [layer]
            flat = True  # from here on, flattening does nothing
        elif isinstance(layer, nn.Conv2d) and flat:
            return None
        elif isinstance(layer, nn.Linear) and image and not flat:
            return None  # it reads the last dimension of an image
        else:
            image = image or isinstance(layer, nn.Conv2d)
            rest.append(layer)
    names = {
        id(layer.weight): str(number)
        for number, layer in enumerate(rest)
        if isinstance(layer, nn.Linear | nn.Conv2d)
    }
    chain = chain_of(rest[:-1], [head], names)
    return None if chain is None else nn.Sequential(*prefix, *compact_stack(chain, [head]))


def _for_evaluation(chain: Chain, heads: Sequence[nn.Module]) -> Chain:
    """A copy of a chain with these heads alone, as it computes in evaluation."""
    *hidden, last = chain.stages
    by_module = {id(layer.module): layer for layer in last.layers}
    last = replace(last, layers=tuple(by_module[id(head)] for head in heads))
    stages: list[Stage] = []
    normalisation: nn.Module | None = None
    for stage in (*hidden, last):
        layers = tuple(Layer(one.name, frozen(one.module)) for one in stage.layers)
        if normalisation is not None:
            for layer in layers:
                _absorb(normalisation, layer.module, stage.repeat)
        after = [m for m in stage.after if not isinstance(m, nn.Dropout | nn.Dropout2d)]
        normalisation = None
        if after and isinstance(after[-1], nn.BatchNorm1d | nn.BatchNorm2d):
            normalisation = after.pop()
        stages.append(Stage(layers, stage.repeat, tuple(frozen(module) for module in after)))
    return Chain(tuple(stages), constants_fold(stages))


def _absorb(normalisation: nn.Module, layer: nn.Linear | nn.Conv2d, repeat: int) -> None:
    """Let a layer do the batch normalisation of what it reads, ``x · s + t``.

    ``W (s · x + t) + b = (W s) x + (b + W t)``; zeros of W stay zeros.
    """
    assert isinstance(normalisation, nn.BatchNorm1d | nn.BatchNorm2d)
    mean, variance = normalisation.running_mean, normalisation.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance.cpu().double() + normalisation.eps).rsqrt()
    shift = -mean.cpu().double() * scale
    if normalisation.affine:
        weight, bias = normalisation.weight.cpu().double(), normalisation.bias.cpu().double()
        scale, shift = scale * weight, shift * weight + bias
    columns = [1, -1] + [1] * (layer.weight.dim() - 2)
    scale, shift = (t.repeat_interleave(repeat).view(columns) for t in (scale, shift))
    weight = layer.weight.double()
    added = (weight * shift).flatten(1).sum(dim=1)
    before = 0.0 if layer.bias is None else layer.bias.double()
    fill_layer(layer, (weight * scale).float(), (before + added).float())


def _stacked(chain: Chain) -> nn.Sequential:
    """The layers one after another, the heads as one layer."""
    joined = nn.Linear(1, 1, device="meta")
    heads = [layer.module for layer in chain.stages[-1].layers]
    biases = [head.bias for head in heads if head.bias is not None]
    fill_layer(joined, torch.cat([h.weight for h in heads]), torch.cat(biases) if biases else None)
    modules: list[nn.Module] = []
    before: nn.Module | None = None
    for stage in chain.stages:
        layer = joined if stage is chain.stages[-1] else stage.layers[0].module
        if isinstance(before, nn.Conv2d) and isinstance(layer, nn.Linear):
            modules.append(nn.Flatten())
        modules += [layer, *stage.after]
        before = layer
    return nn.Sequential(*modules)
