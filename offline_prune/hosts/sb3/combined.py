"""A CombinedExtractor whose parts stand side by side in one row."""

from __future__ import annotations

import math
from typing import Any

import torch
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import Tensor, nn

from offline_prune.acting.in_order import layers_in_order
from offline_prune.acting.stacks import compact_layers, frozen
from offline_prune.errors import UnsupportedExportError
from offline_prune.hosts.sb3.reading import Reading

__all__ = ["combined_extractor"]


def combined_extractor(extractor: nn.Module, reading: Reading, divided: set[str]) -> nn.Module:
    """What an extractor of a Dict makes of its parts, of a row of all of them.

    Args:
        extractor: Of a policy that reads a Dict; it stays as it is.
        reading: How the file reads the Dict.
        divided: Parts whose numbers are divided by 255 first.

    Returns:
        (B, *reading.shape) → features, on the CPU: nothing to do where all parts are vectors.

    Raises:
        UnsupportedExportError: If it is no ``CombinedExtractor``.
    """
    if type(extractor) is not CombinedExtractor:
        raise UnsupportedExportError(
            f"The features extractor {type(extractor).__name__} reads the parts of a Dict, and the"
            " files written here read one array. Expected CombinedExtractor, which puts what it"
            " makes of them side by side."
        )
    combined: Any = extractor
    if all(type(own) is nn.Flatten for own in combined.extractors.values()):
        return nn.Identity()
    return CombinedRow(combined, reading, divided)


class CombinedRow(nn.Module):
    """Splits a row into parts, and puts what their extractors make of them side by side."""

    def __init__(self, extractor: CombinedExtractor, reading: Reading, divided: set[str]) -> None:
        """Copy the extractors, without units that do nothing."""
        super().__init__()
        self.shapes = [part.shape for part in reading.parts.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.divisors = [255.0 if name in divided else 1.0 for name in reading.parts]
        self.extractors = nn.ModuleList(
            _compacted(frozen(extractor.extractors[name])) for name in reading.parts
        )

    def forward(self, rows: Tensor) -> Tensor:
        """(B, n) → (B, features)."""
        found = []
        for number, part in enumerate(rows.split(self.sizes, dim=1)):
            part = part.reshape(-1, *self.shapes[number])
            found.append(self.extractors[number](part / self.divisors[number]))
        return torch.cat(found, dim=1)


def _compacted(extractor: nn.Module) -> nn.Module:
    """The same of one part: all that it puts out stays, units inside may leave."""
    layers: list[Any] = layers_in_order(extractor) or []
    last = max((i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)), default=-1)
    compact = compact_layers(layers[: last + 1])
    return extractor if compact is None else nn.Sequential(*compact, *layers[last + 1 :])
