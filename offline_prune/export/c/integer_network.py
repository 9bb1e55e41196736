"""A stack of linear layers as C that computes in integers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.export.c.forms import FORMS
from offline_prune.export.c.integers import IntegerLayer, integer_layers, multipliers
from offline_prune.export.c.layers import (
    check_linear,
    ordered_layers,
    write_activation,
    write_weights,
)
from offline_prune.export.c.network import CNetwork, c_array
from offline_prune.export.c.slices import whole_slices

__all__ = ["integer_network"]


def integer_network(name: str, stack: nn.Module, inputs: Tensor) -> CNetwork:
    """Write a stack of linear layers as C that multiplies 8 by 16 bits.

    ReLUs and what has no activation stay integers from one layer to the next; other activations
    are computed in floats, and so is what is behind the last layer.

    Args:
        name: Of its function.
        stack: Linear layers with activations between them.
        inputs: (N, …) float32, what it reads on the observations that calibrate it.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If there is a layer of another kind.
    """
    network = CNetwork(name, FORMS["int8"])
    layers = ordered_layers(stack)
    check_linear(layers)
    layers = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
    numbers = integer_layers(layers, inputs.flatten(1))
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    _quantise(network, f"{name}_in", numbers[0], "x")
    for number, (place, after) in enumerate(zip(places, [*places[1:], None], strict=True)):
        layer, prefix = numbers[number], f"{name}_{number}"
        activations = layers[place + 1 : after]
        _multiply(network, prefix, layer)
        network.n_outputs = len(layer.bias)
        if after is None:
            _floats(network, prefix, layer, activations, "y")
        elif all(type(activation) is nn.ReLU for activation in activations):
            _requantise(network, prefix, layer, numbers[number + 1], is_relu=bool(activations))
        else:
            network.buffer_size = max(network.buffer_size, network.n_outputs)
            _floats(network, prefix, layer, activations, "a")
            _quantise(network, prefix, numbers[number + 1], "a")
    return network


def _quantise(network: CNetwork, prefix: str, into: IntegerLayer, source: str) -> None:
    network.arrays.append(c_array(f"{prefix}_per_step", _floats32(1.0 / into.steps)))
    size = len(into.steps)
    _needs(network, "units", "int16_t", size)
    network.call("quantise", source, f"{prefix}_per_step", into.limit, size, "units")


def _multiply(network: CNetwork, prefix: str, layer: IntegerLayer) -> None:
    rows = len(layer.bias)
    weight = torch.from_numpy(layer.weight)
    function, arguments = write_weights(network, prefix, weight)
    bias = np.zeros(whole_slices(rows), dtype=np.int64)
    bias[:rows] = layer.bias
    network.arrays.append(c_array(f"{prefix}_bias", bias, "int32_t"))
    _needs(network, "sums", "int32_t", whole_slices(rows))
    network.call(f"{function}_int8", arguments, "units", "sums")


def _floats(
    network: CNetwork, prefix: str, layer: IntegerLayer, activations: list[nn.Module], to: str
) -> None:
    rows = len(layer.bias)
    network.arrays.append(c_array(f"{prefix}_scales", _floats32(layer.scales)))
    network.call("dequantise", "sums", f"{prefix}_scales", rows, to)
    for activation in activations:
        write_activation(network, activation, to, rows)


def _requantise(
    network: CNetwork, prefix: str, layer: IntegerLayer, into: IntegerLayer, *, is_relu: bool
) -> None:
    factors, shifts = multipliers(layer.scales, into.steps)
    rows = len(factors)
    network.arrays += [
        c_array(f"{prefix}_multipliers", factors, "int32_t"),
        c_array(f"{prefix}_shifts", shifts, "uint8_t"),
    ]
    _needs(network, "units", "int16_t", rows)
    names = f"{prefix}_multipliers, {prefix}_shifts"
    low = 0 if is_relu else -into.limit
    network.call("requantise", "sums", names, low, into.limit, rows, "units")


def _needs(network: CNetwork, buffer: str, type_: str, size: int) -> None:
    before = network.integer_buffers.get(buffer, (type_, 0))[1]
    network.integer_buffers[buffer] = (type_, max(size, before))


def _floats32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
