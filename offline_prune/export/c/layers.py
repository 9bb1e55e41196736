"""Layers of a compacted stack as C: arrays of numbers, and calls of the loops."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from d3rlpy.torch_utility import Swish
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.encoders.impala import ImpalaEncoder
from offline_prune.errors import UnsupportedExportError
from offline_prune.export.c.images import (
    POSITIONS,
    AddKept,
    Keep,
    MeanOfChannels,
    PooledConvolution,
    plain_steps,
)
from offline_prune.export.c.slices import longest_rows_first, slices, whole_slices

__all__ = ["SPARSE_BELOW", "CNetwork", "c_array", "c_network", "c_number"]

SPARSE_BELOW = 0.4
"""Density up to which a linear layer is stored and computed sparse: the text of a kept weight
with its column is as long as that of two and a half entries of a dense layer. In batches and
without vector instructions sparse loops win far above it; with them, for single observations,
dense ones from about a quarter of it on, in the first, small layers that are that dense."""

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
        image_names: Functions of :mod:`~offline_prune.export.c.images` that these call.
        buffer_size: Floats of each of its two buffers, one observation.
        flat: Whether it has linear layers only, so that it can compute on blocks.
        n_dense: Weights of its dense linear layers.
        n_sparse: Kept weights of its sparse ones.
        image_buffers: Name → floats of what padded convolutions and residual blocks need
            besides.
    """

    name: str
    n_outputs: int = 0
    arrays: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    image_names: list[str] = field(default_factory=list)
    buffer_size: int = 1
    flat: bool = True
    n_dense: int = 0
    n_sparse: int = 0
    image_buffers: dict[str, int] = field(default_factory=dict)

    @property
    def n_floats(self) -> int:
        """Floats of all its buffers, one observation."""
        return 2 * self.buffer_size + sum(self.image_buffers.values())

    def needs(self, buffer: str, size: int) -> None:
        """Make room in an image buffer."""
        self.image_buffers[buffer] = max(size, self.image_buffers.get(buffer, 0))


def c_network(name: str, stack: nn.Module, shape: tuple[int, ...]) -> CNetwork:
    """Write a stack of layers as C.

    Args:
        name: Of its function.
        stack: Linear layers, convolutions, activations and a flattening, in order; or an
            IMPALA encoder and layers behind it.
        shape: Of its input.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If a layer is of another kind.
    """
    network = CNetwork(name)
    layers = longest_rows_first(_layers(stack), _is_unitwise)
    last = max(i for i, layer in enumerate(layers) if not _is_unitwise(layer))
    source, target = "x", "a"
    for number, layer in enumerate(layers):
        size = math.prod(shape)
        if isinstance(layer, nn.Flatten):
            shape = (size,)
        elif _is_unitwise(layer):
            _write_activation(network, layer, source, size)
        elif isinstance(layer, Keep | AddKept):
            _write_residual(network, layer, source, size)
        else:
            target = "y" if number == last else "b" if source == "a" else "a"
            prefix = f"{name}_{number}"
            if isinstance(layer, PooledConvolution) or _is_padded(layer):
                shape = _write_framed(network, prefix, layer, shape, source, target)
            elif isinstance(layer, nn.Conv2d):
                shape = _write_convolution(network, prefix, layer, shape, source, target)
            elif isinstance(layer, MeanOfChannels):
                network.image_names.append("means")
                network.calls.append(f"means({source}, {shape[0]}, {size // shape[0]}, {target});")
                shape = shape[:1]
            else:
                assert isinstance(layer, nn.Linear)
                shape = _write_linear(network, prefix, layer, source, target)
            source = target
            network.n_outputs = math.prod(shape)
            if target != "y":
                network.buffer_size = max(network.buffer_size, whole_slices(network.n_outputs))
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
        words = [_short(v) for v in values.flatten().numpy()] or ["0"]
    else:
        words = [str(int(v)) for v in values.ravel()] or ["0"]
    per_line = 8 if type_ == "float" else 16
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    body = ",\n    ".join(lines)
    return f"static const {type_} {name}[{len(words)}] = {{\n    {body}\n}};\n"


def _short(value: np.float32) -> str:
    """A number of an array: a layer stored dense has many zeros."""
    word = c_number(value)
    return "0" if word == "0.0f" else word


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
    return layers


def _is_plain(step: nn.Module) -> bool:
    """Whether there is a loop that computes it."""
    if type(step) is nn.Conv2d:
        zeros = step.padding_mode == "zeros" and isinstance(step.padding, tuple)
        return zeros and step.dilation == (1, 1) and step.groups == 1
    return type(step) in _STEPS or _is_unitwise(step)


_STEPS = (nn.Linear, nn.Flatten, PooledConvolution, Keep, AddKept, MeanOfChannels)


def _is_padded(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.padding != (0, 0)


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
        function = f"sparse_{_write_slices(network, prefix, weight)}"
        arguments = f"{prefix}_values, {prefix}_columns, {prefix}_lengths, {prefix}_bias, {rows}"
        network.n_sparse += int(weight.count_nonzero())
        bias = torch.cat([bias, bias.new_zeros(whole_slices(rows) - rows)])
    else:
        network.arrays.append(c_array(f"{prefix}_weights", weight.T))
        function = "dense"
        network.n_dense += weight.numel()
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


def _write_framed(
    network: CNetwork,
    prefix: str,
    layer: nn.Module,
    shape: tuple[int, ...],
    source: str,
    target: str,
) -> tuple[int, ...]:
    """A convolution with padding: of an image in a frame of zeros, then pooled or not."""
    kernel, stride, padding = 1, 1, 0
    if isinstance(layer, PooledConvolution):
        pool: Any = layer.pool
        kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
        layer = layer.convolution
    assert isinstance(layer, nn.Conv2d)
    channels, height, width = shape
    top, left = (int(n) for n in layer.padding)
    framed = (channels, height + 2 * top, width + 2 * left)
    pitch, size = framed[2], math.prod(framed) + POSITIONS
    network.flat = False
    network.needs("framed", size)
    network.image_names.append("frame")
    network.calls.append(
        f"frame({source}, {channels}, {height}, {width}, {top}, {left}, {size}, framed);"
    )
    if layer.stride != (1, 1):
        return _write_convolution(network, prefix, layer, framed, "framed", target)
    weight = layer.weight.detach()
    rows, _, tall, wide = weight.shape
    bias = weight.new_zeros(rows) if layer.bias is None else layer.bias.detach()
    height, width = framed[1] - tall + 1, framed[2] - wide + 1
    network.needs("channel", (height + 1) * pitch + POSITIONS)
    taps = np.arange(math.prod(framed)).reshape(framed)[:, :tall, :wide].ravel()
    kept = (_kept(row.flatten(), taps) for row in weight)
    bits = _write_rows(network, prefix, kept, math.prod(framed))
    network.arrays.append(c_array(f"{prefix}_bias", bias))
    network.image_names += ["pool", f"convolve_framed_{bits}"]
    network.calls.append(
        f"convolve_framed_{bits}({prefix}_values, {prefix}_columns, {prefix}_starts,"
        f" {prefix}_bias, {rows}, {height}, {width}, {pitch}, {kernel}, {stride}, {padding},"
        f" framed, channel, {target});"
    )
    return (
        rows,
        (height + 2 * padding - kernel) // stride + 1,
        (width + 2 * padding - kernel) // stride + 1,
    )


def _write_residual(network: CNetwork, step: nn.Module, source: str, size: int) -> None:
    name = "keep" if isinstance(step, Keep) else "add"
    network.needs("kept", size)
    network.image_names.append(name)
    network.calls.append(f"{name}({source}, {size}, kept);")


def _write_slices(network: CNetwork, prefix: str, weight: Tensor) -> int:
    """Write kept weights slice by slice; return the bits of an index."""
    cut = slices(weight)
    bits = _bits(weight.shape[1])
    network.arrays += [
        c_array(f"{prefix}_values", cut.values),
        c_array(f"{prefix}_columns", cut.columns, _TYPES[bits]),
        c_array(f"{prefix}_lengths", cut.lengths, "unsigned int"),
    ]
    return bits


def _bits(n_columns: int) -> int:
    return 8 if n_columns <= 2**8 else 16 if n_columns <= 2**16 else 32


_Row = tuple[Tensor, NDArray[np.int64]]


def _kept(row: Tensor, positions: NDArray[np.int64]) -> _Row:
    there = row.nonzero().flatten()
    return row[there], positions[there.numpy()]


def _write_rows(network: CNetwork, prefix: str, rows: Iterable[_Row], n_columns: int) -> int:
    """Write kept weights row by row; return the bits of an index."""
    kept = list(rows)
    bits = _bits(n_columns)
    starts = np.cumsum([0, *(len(values) for values, _ in kept)])
    columns = np.concatenate([positions for _, positions in kept])
    network.arrays += [
        c_array(f"{prefix}_values", torch.cat([values for values, _ in kept])),
        c_array(f"{prefix}_columns", columns, _TYPES[bits]),
        c_array(f"{prefix}_starts", starts, "unsigned int"),
    ]
    return bits
