"""A stack of layers as C that computes in integers."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.export.c.forms import FORMS
from offline_prune.export.c.images import output_shape
from offline_prune.export.c.integers import IntegerLayer, integer_layers, multipliers
from offline_prune.export.c.layers import (
    check_integers,
    ordered_layers,
    write_activation,
    write_weights,
)
from offline_prune.export.c.network import CNetwork, c_array
from offline_prune.export.c.slices import whole_slices

__all__ = ["integer_network"]


_IMAGES = 256  # that ranges are read from; each has thousands of places


def integer_network(name: str, stack: nn.Module, inputs: Tensor) -> CNetwork:
    """Write a stack of layers as C that multiplies 8 by 16 bits.

    ReLUs and what has no activation stay integers from one layer to the next; other activations
    are computed in floats, and so is what is behind the last layer.

    Args:
        name: Of its function.
        stack: Linear layers with activations between them; convolutions with ReLUs before them.
        inputs: (N, …) float32, what it reads on the observations that calibrate it.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If there is a layer of another kind.
    """
    network = CNetwork(name, FORMS["int8"])
    layers = ordered_layers(stack)
    check_integers(layers)
    if isinstance(layers[0], nn.Conv2d):
        inputs = inputs[:: -(-len(inputs) // _IMAGES)]
    else:
        inputs = inputs.flatten(1)
    numbers = integer_layers(layers, inputs)
    layers = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear | nn.Conv2d)]
    shape = tuple(inputs.shape[1:])
    source = "units"
    if len(shape) == 3:
        n_convolutions = sum(isinstance(layer, nn.Conv2d) for layer in layers)
        source = "others" if n_convolutions % 2 else "units"  # the last one writes units
        _quantise_image(network, f"{name}_in", numbers[0], shape, source)
    else:
        _quantise(network, f"{name}_in", numbers[0], "x")
    for number, (place, after) in enumerate(zip(places, [*places[1:], None], strict=True)):
        layer, numbers_here, prefix = layers[place], numbers[number], f"{name}_{number}"
        activations = layers[place + 1 : after]
        is_relu = bool(activations)
        if isinstance(layer, nn.Conv2d):
            target = "others" if source == "units" else "units"
            into = numbers[number + 1]
            arguments = _convolution(network, prefix, layer, numbers_here, into, shape, is_relu)
            network.call("convolve_int8", arguments, source, "sums", target)
            shape, source = output_shape(layer, shape), target
            continue
        _multiply(network, prefix, numbers_here)
        network.n_outputs = len(numbers_here.bias)
        if after is None:
            _floats(network, prefix, numbers_here, activations, "y")
        elif all(type(activation) is nn.ReLU for activation in activations):
            _requantise(network, prefix, numbers_here, numbers[number + 1], is_relu=is_relu)
        else:
            network.buffer_size = max(network.buffer_size, network.n_outputs)
            _floats(network, prefix, numbers_here, activations, "a")
            _quantise(network, prefix, numbers[number + 1], "a")
    return network


def _quantise_image(
    network: CNetwork, prefix: str, into: IntegerLayer, shape: tuple[int, ...], target: str
) -> None:
    network.arrays.append(c_array(f"{prefix}_per_step", _floats32(1.0 / into.steps)))
    _needs(network, target, "int16_t", math.prod(shape))
    sizes = f"{into.limit}, {shape[0]}, {math.prod(shape[1:])}"
    network.call("quantise_image", "x", f"{prefix}_per_step", sizes, target)


def _convolution(
    network: CNetwork,
    prefix: str,
    layer: nn.Conv2d,
    numbers: IntegerLayer,
    into: IntegerLayer,
    shape: tuple[int, ...],
    is_relu: bool,
) -> str:
    """Add a convolution's arrays; what its loop takes before the input."""
    channels, _, width = shape
    rows, _, tall, wide = layer.weight.shape
    network.arrays += [
        c_array(f"{prefix}_weights", numbers.weight, "int8_t"),
        c_array(f"{prefix}_bias", numbers.bias, "int32_t"),
    ]
    _factors(network, prefix, numbers, into)
    written = output_shape(layer, shape)
    for buffer in ("units", "others"):
        _needs(network, buffer, "int16_t", math.prod(written))
    _needs(network, "sums", "int32_t", rows)
    names = ", ".join(f"{prefix}_{part}" for part in ("weights", "bias", "multipliers", "shifts"))
    pitch, (step_y, step_x) = width * channels, layer.stride
    low = 0 if is_relu else -into.limit
    return (
        f"{names}, {low}, {into.limit}, {rows}, {tall}, {wide * channels}, {pitch},"
        f" {step_y * pitch}, {step_x * channels}, {written[1]}, {written[2]}"
    )


def _quantise(network: CNetwork, prefix: str, into: IntegerLayer, source: str) -> None:
    network.arrays.append(c_array(f"{prefix}_per_step", _floats32(1.0 / into.steps)))
    size = len(into.steps)
    _needs(network, "units", "int16_t", size)
    network.call_both("quantise", source, f"{prefix}_per_step", into.limit, size, "units")


def _multiply(network: CNetwork, prefix: str, layer: IntegerLayer) -> None:
    rows = len(layer.bias)
    weight = torch.from_numpy(layer.weight)
    function, arguments = write_weights(network, prefix, weight)
    bias = np.zeros(whole_slices(rows), dtype=np.int64)
    bias[:rows] = layer.bias
    network.arrays.append(c_array(f"{prefix}_bias", bias, "int32_t"))
    _needs(network, "sums", "int32_t", whole_slices(rows))
    network.call_both(f"{function}_int8", arguments, "units", "sums")


def _floats(
    network: CNetwork, prefix: str, layer: IntegerLayer, activations: list[nn.Module], to: str
) -> None:
    rows = len(layer.bias)
    network.arrays.append(c_array(f"{prefix}_scales", _floats32(layer.scales)))
    network.call_both("dequantise", "sums", f"{prefix}_scales", rows, to)
    for activation in activations:
        write_activation(network, activation, to, rows)


def _requantise(
    network: CNetwork, prefix: str, layer: IntegerLayer, into: IntegerLayer, *, is_relu: bool
) -> None:
    rows = len(layer.bias)
    _factors(network, prefix, layer, into)
    _needs(network, "units", "int16_t", rows)
    names = f"{prefix}_multipliers, {prefix}_shifts"
    low = 0 if is_relu else -into.limit
    network.call_both("requantise", "sums", names, low, into.limit, rows, "units")


def _factors(network: CNetwork, prefix: str, layer: IntegerLayer, into: IntegerLayer) -> None:
    """Add what makes a layer's sums the next one's inputs."""
    factors, shifts = multipliers(layer.scales, into.steps)
    network.arrays += [
        c_array(f"{prefix}_multipliers", factors, "int32_t"),
        c_array(f"{prefix}_shifts", shifts, "uint8_t"),
    ]


def _needs(network: CNetwork, buffer: str, type_: str, size: int) -> None:
    before = network.integer_buffers.get(buffer, (type_, 0))[1]
    network.integer_buffers[buffer] = (type_, max(size, before))


def _floats32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
