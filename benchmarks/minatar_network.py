"""MinAtar's own network, at any width."""

from __future__ import annotations

from torch import nn

UNITS = 128


def body(shape: tuple[int, ...], width: int) -> nn.Sequential:
    """A 3×3 convolution of 16 filters and 128 units, both wider by a factor."""
    channels, height, breadth = shape
    inside = 16 * width * (height - 2) * (breadth - 2)
    return nn.Sequential(
        nn.Conv2d(channels, 16 * width, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(inside, UNITS * width), nn.ReLU(),
    )  # fmt: skip
