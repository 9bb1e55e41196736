"""Layers of a compacted stack as C: arrays of numbers, and calls of the loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from d3rlpy.torch_utility import Swish
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.encoders.impala import ImpalaEncoder
from offline_prune.errors import UnsupportedExportError
from offline_prune.export.c.forms import FORMS, Form
from offline_prune.export.c.functions import INDEX_TYPES
from offline_prune.export.c.images import (
    POSITIONS,
    AddKept,
    Keep,
    MeanOfChannels,
    PooledConvolution,
    plain_steps,
)
from offline_prune.export.c.slices import longest_rows_first, slices, whole_slices

__all__ = [
    "SPARSE_BELOW",
    "CNetwork",
    "as_half",
    "c_array",
    "c_network",
    "c_number",
    "check_linear",
    "is_unitwise",
    "ordered_layers",
    "write_activation",
    "write_weights",
]

SPARSE_BELOW = 0.4
"""Density up to which a linear layer is stored and computed sparse: the text of a kept weight
with its column is as long as that of two and a half entries of a dense layer. In batches and
without vector instructions sparse loops win far above it; with them, for single observations,
dense ones from about a quarter of it on, in the first, small layers that are that dense."""


@dataclass
class CNetwork:
    """A network as C text.

    Attributes:
        name: Of its function, ``network_0``, …
        form: What the weights of its linear layers are stored as.
        n_outputs: Length of what it writes.
        arrays: Definitions of its numbers.
        calls: Lines of its body for one observation.
        lanes: Lines of its body for a block of observations; fewer than ``calls`` where a
            layer has no such form.
        buffer_size: Floats of each of its two buffers, one observation.
        n_dense: Weights of its dense linear layers.
        n_sparse: Kept weights of its sparse ones.
        image_buffers: Name → floats of what padded convolutions and residual blocks need
            besides.
        integer_buffers: Name → type and length of those that hold no floats.
    """

    name: str
    form: Form = FORMS["float32"]
    n_outputs: int = 0
    arrays: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    buffer_size: int = 1
    n_dense: int = 0
    n_sparse: int = 0
    image_buffers: dict[str, int] = field(default_factory=dict)
    integer_buffers: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def flat(self) -> bool:
        """Whether it has linear layers only, so that it can compute on blocks."""
        return len(self.lanes) == len(self.calls)

    @property
    def n_floats(self) -> int:
        """Floats of all its buffers, one observation; integers of 32 bits for others at most."""
        others = sum(size for _, size in self.integer_buffers.values())
        return 2 * self.buffer_size + sum(self.image_buffers.values()) + others

    def call(self, function: str, *arguments: object) -> None:
        """Add a line to the body for one observation."""
        self.calls.append(f"{function}({', '.join(map(str, arguments))});")

    def needs(self, buffer: str, size: int) -> None:
        """Make room in an image buffer."""
        self.image_buffers[buffer] = max(size, self.image_buffers.get(buffer, 0))


def c_network(
    name: str, stack: nn.Module, shape: tuple[int, ...], form: Form = FORMS["float32"]
) -> CNetwork:
    """Write a stack of layers as C, in floats.

    Args:
        name: Of its function.
        stack: Linear layers, convolutions, activations and a flattening, in order; or an
            IMPALA encoder and layers behind it.
        shape: Of its input.
        form: Of the weights; one other than float32 is for linear layers alone.

    Returns:
        The text.

    Raises:
        UnsupportedExportError: If a layer is of another kind.
    """
    network = CNetwork(name, form)
    layers = ordered_layers(stack)
    if form is not FORMS["float32"]:
        check_linear(layers)
    last = max(i for i, layer in enumerate(layers) if not is_unitwise(layer))
    source, target = "x", "a"
    for number, layer in enumerate(layers):
        size = math.prod(shape)
        if isinstance(layer, nn.Flatten):
            shape = (size,)
        elif is_unitwise(layer):
            write_activation(network, layer, source, size)
        elif isinstance(layer, Keep | AddKept):
            network.needs("kept", size)
            network.call("keep" if isinstance(layer, Keep) else "add", source, size, "kept")
        else:
            target = "y" if number == last else "b" if source == "a" else "a"
            prefix = f"{name}_{number}"
            if isinstance(layer, MeanOfChannels):
                network.call("means", source, shape[0], size // shape[0], target)
                shape = shape[:1]
            elif isinstance(layer, nn.Linear):
                shape = _write_linear(network, prefix, layer, source, target)
            else:
                shape = _write_convolution(network, prefix, layer, shape, source, target)
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
        words = [c_number(value) for value in values.flatten().numpy()]
        words = ["0" if word == "0.0f" else word for word in words]  # many, in a dense layer
    else:
        words = [str(int(value)) for value in values.ravel()]
    words = words or ["0"]
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


def check_linear(layers: Sequence[nn.Module]) -> None:
    """Refuse what has weights of float32 alone.

    Raises:
        UnsupportedExportError: If there is another layer than linear ones and activations, or
            no linear one comes first.
    """
    plain = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
    other = next((m for m in plain if not (type(m) is nn.Linear or is_unitwise(m))), None)
    if other is not None or is_unitwise(plain[0]):
        raise UnsupportedExportError(
            f"{type(other or plain[0]).__name__}: weights of float16 and int8 are those of stacks"
            ' of linear layers with activations between them. Export with dtype="float32", which'
            " takes images as well."
        )


def _is_plain(step: nn.Module) -> bool:
    """Whether there is a loop that computes it."""
    if type(step) is nn.Conv2d:
        zeros = step.padding_mode == "zeros" and isinstance(step.padding, tuple)
        return zeros and step.dilation == (1, 1) and step.groups == 1
    return type(step) in _STEPS or is_unitwise(step)


_STEPS = (nn.Linear, nn.Flatten, PooledConvolution, Keep, AddKept, MeanOfChannels)


def is_unitwise(layer: nn.Module) -> bool:
    """Whether a layer is an activation, of each unit by itself, that C has."""
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


def write_activation(network: CNetwork, layer: nn.Module, where: str, size: int) -> None:
    """Add the call of an activation, in place."""
    function, slope = f"activate_{_ACTIVATIONS[type(layer)]}", ""
    if isinstance(layer, nn.ELU):
        slope = f", {c_number(np.float32(layer.alpha))}"
    elif isinstance(layer, nn.LeakyReLU):
        slope = f", {c_number(np.float32(layer.negative_slope))}"
    network.calls.append(f"{function}({where}, {size}{slope});")
    network.lanes.append(f"{function}({where}, {size} * POLICY_LANES{slope});")


def _write_linear(
    network: CNetwork, prefix: str, layer: nn.Linear, source: str, target: str
) -> tuple[int, ...]:
    weight, bias, form = layer.weight.detach(), _bias(layer), network.form
    if form.stored == "uint16_t":
        weight = as_half(weight)
    rows = len(weight)
    function, arguments = write_weights(network, prefix, weight)
    if function.startswith("sparse"):
        bias = torch.cat([bias, bias.new_zeros(whole_slices(rows) - rows)])
    network.arrays.append(c_array(f"{prefix}_bias", bias))
    network.call(f"{function}{form.suffix}", arguments, source, target)
    if form is FORMS["float32"]:
        network.lanes.append(f"{function}_lanes({arguments}, {source}, {target});")
    return (rows,)


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
        cut, (bits, type_) = slices(weight), _index(columns)
        network.arrays += [
            c_array(f"{prefix}_values", _stored(cut.values, stored), stored),
            c_array(f"{prefix}_columns", cut.columns, type_),
            c_array(f"{prefix}_lengths", cut.lengths, "unsigned int"),
        ]
        network.n_sparse += int(weight.count_nonzero())
        names = ", ".join(f"{prefix}_{part}" for part in ("values", "columns", "lengths", "bias"))
        return f"sparse_{bits}", f"{names}, {rows}"
    # Floats of one input lie side by side; what is smaller, row by row.
    ordered = weight.T if stored == "float" else weight
    network.arrays.append(c_array(f"{prefix}_weights", _stored(ordered, stored), stored))
    network.n_dense += weight.numel()
    return "dense", f"{prefix}_weights, {prefix}_bias, {columns}, {rows}"


def _stored(values: Tensor, type_: str) -> Tensor | NDArray[np.integer]:
    if type_ == "float":
        return values
    if type_ == "uint16_t":
        return values.to(torch.float16).numpy().view(np.uint16)
    return values.numpy().astype(np.int64)


def as_half(weight: Tensor) -> Tensor:
    """Weights rounded to float16; those that become zero leave.

    Raises:
        UnsupportedExportError: If one is too large for it.
    """
    rounded = weight.to(torch.float16).float()
    if not bool(torch.isfinite(rounded).all()):
        raise UnsupportedExportError(
            f"The largest weight is {float(weight.abs().max()):.3g}, and float16 ends at 65504."
            ' Export with dtype="float32".'
        )
    return rounded


def _write_convolution(
    network: CNetwork,
    prefix: str,
    layer: nn.Module,
    shape: tuple[int, ...],
    source: str,
    target: str,
) -> tuple[int, ...]:
    """A convolution; one with padding of an image in a frame of zeros, then pooled or not."""
    pool: Any = None
    if isinstance(layer, PooledConvolution):
        layer, pool = layer.convolution, layer.pool
    assert isinstance(layer, nn.Conv2d)
    top, left = (int(n) for n in layer.padding)
    step_y, step_x = layer.stride
    is_framed = pool is not None or (top, left) != (0, 0)
    if is_framed:
        channels, height, width = shape
        shape = (channels, height + 2 * top, width + 2 * left)
        size = math.prod(shape) + POSITIONS
        network.needs("framed", size)
        network.call("frame", source, channels, height, width, top, left, size, "framed")
        source = "framed"
    rows, _, tall, wide = layer.weight.shape
    pitch = shape[2]
    height, width = (shape[1] - tall) // step_y + 1, (pitch - wide) // step_x + 1
    bits, arguments = _write_kernels(network, prefix, layer, shape)
    if not is_framed or layer.stride != (1, 1):
        steps = f"{step_y * pitch}, {step_x}"
        network.call(f"convolve_{bits}", arguments, height, width, steps, source, target)
        return (rows, height, width)
    kernel, stride, padding = 1, 1, 0
    if pool is not None:
        kernel, stride, padding = pool.kernel_size, pool.stride, pool.padding
    network.needs("channel", (height + 1) * pitch + POSITIONS)
    pooling = f"{height}, {width}, {pitch}, {kernel}, {stride}, {padding}"
    network.call(f"convolve_framed_{bits}", arguments, pooling, source, "channel", target)
    height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
    return (rows, height, width)


def _write_kernels(
    network: CNetwork, prefix: str, layer: nn.Conv2d, shape: tuple[int, ...]
) -> tuple[int, str]:
    """Write kept weights row by row; return the bits of an index, and what loops take first."""
    rows, _, tall, wide = layer.weight.shape
    weight = layer.weight.detach().flatten(1)
    taps = np.arange(math.prod(shape)).reshape(shape)[:, :tall, :wide].ravel()
    bits, type_ = _index(math.prod(shape))
    row, column = weight.nonzero(as_tuple=True)
    starts = np.cumsum([0, *weight.count_nonzero(dim=1).tolist()])
    network.arrays += [
        c_array(f"{prefix}_values", weight[row, column]),
        c_array(f"{prefix}_columns", taps[column.numpy()], type_),
        c_array(f"{prefix}_starts", starts, "unsigned int"),
        c_array(f"{prefix}_bias", _bias(layer)),
    ]
    names = ", ".join(f"{prefix}_{part}" for part in ("values", "columns", "starts", "bias"))
    return bits, f"{names}, {rows}"


def _bias(layer: nn.Linear | nn.Conv2d) -> Tensor:
    none = layer.weight.new_zeros(len(layer.weight))
    return none if layer.bias is None else layer.bias.detach()


def _index(n_columns: int) -> tuple[int, str]:
    """Bits and C type of an index of so many columns."""
    return next((bits, type_) for bits, type_ in INDEX_TYPES.items() if n_columns <= 2**bits)
