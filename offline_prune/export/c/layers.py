"""Layers of a compacted stack as C: arrays of numbers, and calls of the loops."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from offline_prune.compaction import fill_layer
from offline_prune.encoders.impala import ImpalaEncoder
from offline_prune.errors import UnsupportedExportError
from offline_prune.export.c.activations import activation_call, is_unitwise
from offline_prune.export.c.channels_first import write_channels_first
from offline_prune.export.c.channels_last import (
    channels_last_order,
    dense_is_faster,
    write_channels_last,
)
from offline_prune.export.c.forms import FORMS, Form
from offline_prune.export.c.images import (
    AddKept,
    Keep,
    MeanOfChannels,
    PooledConvolution,
    convolution_of,
    is_plain_convolution,
    plain_steps,
)
from offline_prune.export.c.network import (
    CNetwork,
    bias_of,
    c_array,
    index_type,
    stored_as,
)
from offline_prune.export.c.slices import longest_rows_first, slices, whole_slices
from offline_prune.export.float16 import as_half

__all__ = [
    "SPARSE_BELOW",
    "c_network",
    "check_integers",
    "ordered_layers",
    "write_activation",
    "write_weights",
]

SPARSE_BELOW = 0.4
"""Density up to which a linear layer is stored and computed sparse: the text of a kept weight
with its column is as long as that of two and a half entries of a dense layer. In batches and
without vector instructions sparse loops win far above it; with them, for single observations,
dense ones from about a quarter of it on, in the first, small layers that are that dense."""


def c_network(
    name: str, stack: nn.Module, shape: tuple[int, ...], form: Form = FORMS["float32"]
) -> CNetwork:
    """Write a stack of layers as C, in floats.

    Args:
        name: Of its function.
        stack: Linear layers, convolutions, activations and a flattening, in order; or an
            IMPALA encoder and layers behind it.
        shape: Of its input.
        form: Of the weights, float32 or float16.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If a layer is of another kind.
    """
    network = CNetwork(name, form)
    layers = ordered_layers(stack)
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    if any(convolution_of(layer) is not None for layer in layers[:first]):
        layers[first] = _write_images(network, layers[:first], shape, layers[first])
    else:
        first = 0
    last = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    source, size = "x", network.n_features or math.prod(shape)
    for number, layer in enumerate(layers[first:], first):
        if is_unitwise(layer):
            write_activation(network, layer, source, size)
        elif isinstance(layer, nn.Linear):
            target = "y" if number == last else "b" if source == "a" else "a"
            _write_linear(network, f"{name}_{number}", layer, source, target)
            source, size = target, len(layer.weight)
            if target != "y":
                network.buffer_size = max(network.buffer_size, whole_slices(size))
    network.n_outputs = size
    return network


def _write_images(
    network: CNetwork, layers: Sequence[nn.Module], shape: tuple[int, ...], reader: nn.Module
) -> nn.Linear:
    """Write what comes before the first linear layer; return that, of features as they come."""
    assert isinstance(reader, nn.Linear)
    if network.form is FORMS["float32"] and not dense_is_faster(layers, shape):
        write_channels_first(network, layers, shape)
        return reader
    order = channels_last_order(write_channels_last(network, layers, shape))
    ordered = nn.Linear(1, 1, device="meta")
    fill_layer(ordered, reader.weight.detach()[:, order], bias_of(reader))
    return ordered


def write_activation(network: CNetwork, layer: nn.Module, where: str, size: int) -> None:
    """Add the call of an activation of linear units, in place."""
    network.calls.append(activation_call(layer, where, size))
    network.lanes.append(activation_call(layer, where, f"{size} * POLICY_LANES"))


def ordered_layers(stack: nn.Module) -> list[nn.Module]:
    """The layers of a stack as plain steps, hidden units in the order in which C has them.

    Raises:
        UnsupportedExportError: If one has no form in C.
    """
    layers: list[nn.Module] = []
    for module in stack if type(stack) is nn.Sequential else [stack]:
        if isinstance(module, nn.Identity):
            continue
        steps = plain_steps(module) if type(module) is ImpalaEncoder else [module]
        for step in steps:
            if not _is_plain(step):
                raise UnsupportedExportError(
                    f"C has no form of {type(step).__name__}: it takes stacks of linear layers"
                    " and convolutions (no dilation or groups, padding with zeros) with"
                    " unit-wise activations, and IMPALA encoders. Export to .onnx or .pt,"
                    " which take any encoder."
                )
        layers += steps
    return longest_rows_first(layers, is_unitwise)


def check_integers(layers: Sequence[nn.Module]) -> None:
    """Refuse what has no form in integers.

    Raises:
        UnsupportedExportError: If there is another layer than linear ones and activations,
            behind convolutions without padding with ReLUs between them; or an activation first.
    """
    plain = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
    linear = next(i for i, layer in enumerate(plain) if isinstance(layer, nn.Linear))
    other = [m for m in plain[:linear] if type(m) not in (nn.Conv2d, nn.ReLU)]
    other += [m for m in plain[:linear] if isinstance(m, nn.Conv2d) and m.padding != (0, 0)]
    other += [m for m in plain[linear:] if not (type(m) is nn.Linear or is_unitwise(m))]
    if other or is_unitwise(plain[0]):
        raise UnsupportedExportError(
            f"{type((other or plain)[0]).__name__}: int8 is for linear layers with activations"
            " between them, behind convolutions without padding and with ReLUs, if any. Export"
            ' with dtype="float16" or "float32", which take residual blocks and padding as well.'
        )


def _is_plain(step: nn.Module) -> bool:
    """Whether there is a loop that computes it."""
    return is_plain_convolution(step) or type(step) in _STEPS or is_unitwise(step)


_STEPS = (nn.Linear, nn.Flatten, PooledConvolution, Keep, AddKept, MeanOfChannels)


def _write_linear(
    network: CNetwork, prefix: str, layer: nn.Linear, source: str, target: str
) -> None:
    weight, bias, form = layer.weight.detach(), bias_of(layer), network.form
    if form.stored == "uint16_t":
        weight = as_half(weight)
    rows = len(weight)
    function, arguments = write_weights(network, prefix, weight)
    if function.startswith("sparse"):
        bias = torch.cat([bias, bias.new_zeros(whole_slices(rows) - rows)])
    network.arrays.append(c_array(f"{prefix}_bias", bias))
    network.call_both(f"{function}{form.suffix}", arguments, source, target)


def write_weights(network: CNetwork, prefix: str, weight: Tensor) -> tuple[str, str]:
    """Add the arrays of a linear layer's weights; its bias, ``{prefix}_bias``, is yet to be added.

    Args:
        network: To add to.
        prefix: Of the arrays' names.
        weight: (rows, columns), as its numbers are in the network's form.

    Returns:
        The loop without the form's suffix, and its arguments before the input.
    """
    rows, columns = weight.shape
    stored = network.form.stored
    if int(weight.count_nonzero()) <= SPARSE_BELOW * weight.numel():
        cut, (bits, type_) = slices(weight), index_type(columns)
        network.arrays += [
            c_array(f"{prefix}_values", stored_as(cut.values, stored), stored),
            c_array(f"{prefix}_columns", cut.columns, type_),
            c_array(f"{prefix}_lengths", cut.lengths, "unsigned int"),
        ]
        network.n_sparse += int(weight.count_nonzero())
        names = ", ".join(f"{prefix}_{part}" for part in ("values", "columns", "lengths", "bias"))
        return f"sparse_{bits}", f"{names}, {rows}"
    # Floats of one input lie side by side; what is smaller, row by row.
    ordered = weight.T if stored == "float" else weight
    network.arrays.append(c_array(f"{prefix}_weights", stored_as(ordered, stored), stored))
    network.n_dense += weight.numel()
    return "dense", f"{prefix}_weights, {prefix}_bias, {columns}, {rows}"
