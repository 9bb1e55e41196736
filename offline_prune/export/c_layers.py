"""Layers of a compacted stack as C: arrays of numbers, and calls of the loops."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from d3rlpy.torch_utility import Swish
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.errors import UnsupportedExportError

__all__ = ["SPARSE_BELOW", "CNetwork", "c_array", "c_network", "c_number"]

SPARSE_BELOW = 0.2
"""Density up to which a linear layer is stored and computed sparse: in batches sparse loops
win far above it, for single observations dense ones win from a little below it on."""

_TYPES = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int"}


@dataclass
class CNetwork:
    """A network as C text.

    Attributes:
        name: Of its function, ``network_0``, …
        n_outputs: Length of what it writes.
        arrays: Definitions of its numbers.
        calls: Lines of its body for one observation.
        lanes: Lines of its body for a block of observations.
        names: Functions that these call.
        buffer_size: Floats of each of its two buffers, one observation.
        flat: Whether it has linear layers only, so that it can compute on blocks.
    """

    name: str
    n_outputs: int = 0
    arrays: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    buffer_size: int = 1
    flat: bool = True


def c_network(name: str, stack: nn.Module, shape: tuple[int, ...]) -> CNetwork:
    """Write a stack of layers as C.

    Args:
        name: Of its function.
        stack: Linear layers, convolutions, activations and a flattening, in order.
        shape: Of its input.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If a layer is of another kind.
    """
    network = CNetwork(name)
    layers = _layers(stack)
    last = max(i for i, layer in enumerate(layers) if not _is_unitwise(layer))
    source, target = "x", "a"
    for number, layer in enumerate(layers):
        size = math.prod(shape)
        if isinstance(layer, nn.Flatten):
            shape = (size,)
        elif _is_unitwise(layer):
            _write_activation(network, layer, source, size)
        else:
            target = "y" if number == last else "b" if source == "a" else "a"
            prefix = f"{name}_{number}"
            if isinstance(layer, nn.Conv2d):
                shape = _write_convolution(network, prefix, layer, shape, source, target)
            else:
                assert isinstance(layer, nn.Linear)
                shape = _write_linear(network, prefix, layer, source, target)
            source = target
            network.n_outputs = math.prod(shape)
            if target != "y":
                network.buffer_size = max(network.buffer_size, network.n_outputs)
    return network


def c_array(name: str, values: Tensor | NDArray[np.integer], type_: str = "float") -> str:
    """Define an array of numbers, floats in the shortest form that reads back the same.

    Args:
        name: Of the array.
        values: Its numbers; an array without any gets one zero.
        type_: C type.

    Returns:
        The definition.
    """
    if isinstance(values, Tensor):
        words = [c_number(v) for v in values.flatten().numpy()] or ["0.0f"]
    else:
        words = [str(int(v)) for v in values.ravel()] or ["0"]
    per_line = 8 if type_ == "float" else 16
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    body = ",\n    ".join(lines)
    return f"static const {type_} {name}[{len(words)}] = {{\n    {body}\n}};\n"


def c_number(value: np.float32) -> str:
    """A float32 as C; the shortest decimal that reads back as the same number.

    Raises:
        UnsupportedExportError: If it is not finite.
    """
    if not np.isfinite(value):
        raise UnsupportedExportError(
            "A weight, a bias or a scale of the policy is NaN or infinite: C has no form"
            " of it, and no agent acts on it. Did its training diverge?"
        )
    return f"{np.float32(value)!s}f"


def _layers(stack: nn.Module) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for module in stack if type(stack) is nn.Sequential else [stack]:
        if isinstance(module, nn.Identity):
            continue
        plain = type(module) in (nn.Linear, nn.Conv2d, nn.Flatten) or _is_unitwise(module)
        if isinstance(module, nn.Conv2d):
            padded = module.padding not in (0, (0, 0))
            plain = not padded and module.dilation == (1, 1) and module.groups == 1
        if not plain:
            raise UnsupportedExportError(
                f"C has no form of {type(module).__name__}: it takes stacks of linear layers"
                " and convolutions (no padding, dilation or groups) with unit-wise"
                " activations. Export to .onnx or .pt, which take any encoder."
            )
        layers.append(module)
    return layers


def _is_unitwise(layer: nn.Module) -> bool:
    return type(layer) in _ACTIVATIONS and getattr(layer, "approximate", "none") == "none"


_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "swish",
    Swish: "swish",
    nn.GELU: "gelu",
    nn.ELU: "elu",
    nn.LeakyReLU: "leaky_relu",
}


def _write_activation(network: CNetwork, layer: nn.Module, where: str, size: int) -> None:
    name = _ACTIVATIONS[type(layer)]
    slope = ""
    if isinstance(layer, nn.ELU):
        slope = f", {c_number(np.float32(layer.alpha))}"
    elif isinstance(layer, nn.LeakyReLU):
        slope = f", {c_number(np.float32(layer.negative_slope))}"
    network.names.append(name)
    network.calls.append(f"activate_{name}({where}, {size}{slope});")
    network.lanes.append(f"activate_{name}({where}, {size} * POLICY_LANES{slope});")


def _write_linear(
    network: CNetwork, prefix: str, layer: nn.Linear, source: str, target: str
) -> tuple[int, ...]:
    weight = layer.weight.detach()
    rows, columns = weight.shape
    bias = weight.new_zeros(rows) if layer.bias is None else layer.bias.detach()
    if int(weight.count_nonzero()) <= SPARSE_BELOW * weight.numel():
        bits = _write_rows(
            network, prefix, (_kept(row, np.arange(columns)) for row in weight), columns
        )
        function = f"sparse_{bits}"
        arguments = f"{prefix}_values, {prefix}_columns, {prefix}_starts, {prefix}_bias, {rows}"
    else:
        network.arrays.append(c_array(f"{prefix}_weights", weight.T))
        function = "dense"
        arguments = f"{prefix}_weights, {prefix}_bias, {columns}, {rows}"
    network.arrays.append(c_array(f"{prefix}_bias", bias))
    network.names += [function, f"{function}_lanes"]
    network.calls.append(f"{function}({arguments}, {source}, {target});")
    network.lanes.append(f"{function}_lanes({arguments}, {source}, {target});")
    return (rows,)


def _write_convolution(
    network: CNetwork,
    prefix: str,
    layer: nn.Conv2d,
    shape: tuple[int, ...],
    source: str,
    target: str,
) -> tuple[int, ...]:
    channels, height, width = shape
    weight = layer.weight.detach()
    rows, _, tall, wide = weight.shape
    bias = weight.new_zeros(rows) if layer.bias is None else layer.bias.detach()
    step_y, step_x = layer.stride
    out_height, out_width = (height - tall) // step_y + 1, (width - wide) // step_x + 1
    taps = np.arange(channels * height * width).reshape(shape)[:, :tall, :wide].ravel()
    kept = (_kept(row.flatten(), taps) for row in weight)
    bits = _write_rows(network, prefix, kept, channels * height * width)
    network.arrays.append(c_array(f"{prefix}_bias", bias))
    network.names.append(f"convolve_{bits}")
    network.flat = False
    network.calls.append(
        f"convolve_{bits}({prefix}_values, {prefix}_columns, {prefix}_starts, {prefix}_bias,"
        f" {rows}, {out_height}, {out_width}, {step_y * width}, {step_x}, {source}, {target});"
    )
    return (rows, out_height, out_width)


_Row = tuple[Tensor, NDArray[np.int64]]


def _kept(row: Tensor, positions: NDArray[np.int64]) -> _Row:
    there = row.nonzero().flatten()
    return row[there], positions[there.numpy()]


def _write_rows(network: CNetwork, prefix: str, rows: Iterable[_Row], n_columns: int) -> int:
    """Write kept weights row by row; return the bits of an index."""
    kept = list(rows)
    bits = 8 if n_columns <= 2**8 else 16 if n_columns <= 2**16 else 32
    starts = np.cumsum([0, *(len(values) for values, _ in kept)])
    columns = np.concatenate([positions for _, positions in kept])
    network.arrays += [
        c_array(f"{prefix}_values", torch.cat([values for values, _ in kept])),
        c_array(f"{prefix}_columns", columns, _TYPES[bits]),
        c_array(f"{prefix}_starts", starts, "unsigned int"),
    ]
    return bits
