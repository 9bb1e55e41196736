"""A network as C text: its numbers, and the calls of the loops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline_prune.errors import UnsupportedExportError
from offline_prune.export.c.forms import FORMS, INDEX_TYPES, Form

__all__ = [
    "CNetwork",
    "bias_of",
    "c_array",
    "c_number",
    "index_type",
    "stored_as",
]


@dataclass
class CNetwork:
    """A network as C text.

    Attributes:
        name: Of its function, ``network_0``, …
        form: What its weights are stored as.
        n_outputs: Length of what it writes.
        arrays: Definitions of its numbers.
        images: Lines of the body of what comes before its linear layers, for one observation;
            none where it has no convolutions.
        n_features: Length of what these write.
        image_size: Floats of each of their two buffers.
        image_buffers: Name → floats of what they need besides.
        calls: Lines of the body of the linear layers, for one observation.
        lanes: The same for a block of observations; fewer where a layer has no such form.
        buffer_size: Floats of each of their two buffers, one observation.
        n_dense: Weights of its dense linear layers.
        n_sparse: Kept weights of its sparse ones.
        integer_buffers: Name → type and length of those that hold no floats.
    """

    name: str
    form: Form = FORMS["float32"]
    n_outputs: int = 0
    arrays: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    n_features: int = 0
    image_size: int = 1
    image_buffers: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    buffer_size: int = 1
    n_dense: int = 0
    n_sparse: int = 0
    integer_buffers: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def has_blocks(self) -> bool:
        """Whether it can compute on blocks of observations."""
        return not self.images and len(self.lanes) == len(self.calls)

    @property
    def n_floats(self) -> int:
        """Floats of all its buffers, one observation; integers of 32 bits for others at most."""
        others = sum(size for _, size in self.integer_buffers.values())
        linear = 2 * self.buffer_size + others
        images = 2 * self.image_size + sum(self.image_buffers.values()) if self.images else 0
        return self.n_features + max(images, linear)

    def call(self, function: str, *arguments: object) -> None:
        """Add a line to the linear layers' body for one observation."""
        self.calls.append(_call(function, arguments))

    def call_both(self, function: str, *arguments: object) -> None:
        """Add a line to that body and, by the same arguments, to that for blocks."""
        self.call(function, *arguments)
        self.lanes.append(_call(f"{function}_lanes", arguments))

    def image_call(self, function: str, *arguments: object) -> None:
        """Add a line to the body of what comes before them."""
        self.images.append(_call(function, arguments))

    def needs(self, buffer: str, size: int) -> None:
        """Make room in an image buffer."""
        self.image_buffers[buffer] = max(size, self.image_buffers.get(buffer, 0))


def _call(function: str, arguments: tuple[object, ...]) -> str:
    return f"{function}({', '.join(map(str, arguments))});"


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


def bias_of(layer: nn.Linear | nn.Conv2d) -> Tensor:
    """(rows,), zeros where the layer has none."""
    none = layer.weight.new_zeros(len(layer.weight))
    return none if layer.bias is None else layer.bias.detach()


def index_type(n_columns: int) -> tuple[int, str]:
    """Bits and C type of an index of so many columns."""
    return next((bits, type_) for bits, type_ in INDEX_TYPES.items() if n_columns <= 2**bits)


def stored_as(values: Tensor, type_: str) -> Tensor | NDArray[np.integer]:
    """Weights as the numbers of an array of a C type."""
    if type_ == "float":
        return values
    if type_ == "uint16_t":
        return values.to(torch.float16).numpy().view(np.uint16)
    return values.numpy().astype(np.int64)
