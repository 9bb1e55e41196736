"""DenseNets of linear layers: every layer reads the inputs and all layers before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["DenseBlock", "DenseNet", "dense_net_parameters"]


class DenseBlock(nn.Module):
    """A layer whose output is appended to its input.

    Formula: ``y = [x, gate(swish(norm(W x + b)))]``; swish(h) = h · σ(h).

    ``gate`` is an ``nn.Identity`` until somebody puts a module in its place, or a
    forward hook on it: the place for one factor a unit, after the activation and
    before anything reads the unit.

    Attributes:
        linear: W and b.
        norm: Batch normalisation of the units.
        activation: Swish.
        gate: (B, units) → (B, units); the identity.
    """

    def __init__(self, in_features: int, units: int) -> None:
        """Draw a layer from torch's random state.

        Args:
            in_features: Length of x.
            units: Units of the layer.
        """
        super().__init__()
        self.linear = nn.Linear(in_features, units)
        self.norm = nn.BatchNorm1d(units)
        self.activation = nn.SiLU()
        self.gate: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Append the units to the input: (B, in_features) → (B, in_features + units)."""
        return torch.cat([x, self.gate(self.activation(self.norm(self.linear(x))))], dim=1)


class DenseNet(nn.Module):
    """A stack of :class:`DenseBlock`; the output begins with the input.

    Attributes:
        blocks: The blocks, in order; block l reads ``in_features + l · units`` numbers.
        in_features: Length of the input.
        out_features: ``in_features + n_layers · units``.
    """

    def __init__(self, in_features: int, n_layers: int, units: int) -> None:
        """Draw the layers from torch's random state.

        Args:
            in_features: Length of the input.
            n_layers: Number of blocks.
            units: Units of each block.
        """
        super().__init__()
        self.in_features = in_features
        self.out_features = in_features + n_layers * units
        self.blocks = nn.Sequential(
            *(DenseBlock(in_features + layer * units, units) for layer in range(n_layers))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Append all units to the input: (B, in_features) → (B, out_features)."""
        found: Tensor = self.blocks(x)
        return found


def dense_net_parameters(in_features: int, n_layers: int, units: int) -> int:
    """Number of parameters of a :class:`DenseNet`.

    Formula: layer l (from 0) has ``(d + l·u)·u`` weights, u biases and 2u parameters of
    batch normalisation; all L layers together ``L·u·(d + 3) + u²·L·(L − 1)/2``.

    Args:
        in_features: d, length of the input.
        n_layers: L, number of layers.
        units: u, units of each layer.

    Returns:
        Weights, biases, and scales and shifts of batch normalisation.
    """
    return n_layers * units * (in_features + 3) + units**2 * n_layers * (n_layers - 1) // 2
