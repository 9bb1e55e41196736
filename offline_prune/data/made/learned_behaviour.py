"""Behaviour policies that were learned: small Q networks that decide alike everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from offline_prune.errors import InputError

__all__ = ["ImageQNetwork", "epsilon_greedy"]

_STEP = 2.0**-10
"""Weights and biases are multiples of it."""
_LARGEST = 2.0
"""float16 holds multiples of 2⁻¹⁰ up to here."""


@dataclass(frozen=True)
class ImageQNetwork:
    """The Q network of the MinAtar paper, in numpy, without rounding.

    ``Q(x, ·) = W₃ · relu(W₂ · flatten(relu(W₁ ∗ [x ≠ 0] + b₁)) + b₂) + b₃``, with one
    convolution of kernel k×k, stride 1 and no padding.

    Weights and biases are multiples of 2⁻¹⁰ and inputs are 0 or 1. The activations are
    then multiples of 2⁻¹⁰, 2⁻²⁰ and 2⁻³⁰, far below 2²³: float64 holds them all, and a
    sum in any order is exact. So a dataset that this policy collects is the same on
    every processor, to the last bit.

    Attributes:
        kernel: (filters, channels, k, k) W₁, float64.
        kernel_bias: (filters,) b₁.
        hidden: (units, filters · (H − k + 1) · (W − k + 1)) W₂.
        hidden_bias: (units,) b₂.
        output: (actions, units) W₃.
        output_bias: (actions,) b₃.

    References:
        Young, Tian 2019, arXiv 1903.03176.
    """

    kernel: NDArray[np.float64]
    kernel_bias: NDArray[np.float64]
    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output: NDArray[np.float64]
    output_bias: NDArray[np.float64]

    @classmethod
    def rounded(cls, **weights: Any) -> ImageQNetwork:
        """Round trained weights to multiples of 2⁻¹⁰.

        Args:
            **weights: One array an attribute.

        Returns:
            The network.

        Raises:
            InputError: If a weight is not finite or its magnitude is 2 or more.
        """
        arrays = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
        for name, array in arrays.items():
            if not (np.abs(array) < _LARGEST - _STEP).all():
                raise InputError(
                    f"{name} holds magnitudes up to {np.abs(array).max()}; below"
                    f" {_LARGEST} was expected. Scale the rewards down and train again."
                )
        return cls(**{name: np.round(array / _STEP) * _STEP for name, array in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> ImageQNetwork:
        """Read a network.

        Args:
            path: A file that :meth:`save` wrote.

        Returns:
            The network.
        """
        return cls(**{name: array.astype(np.float64) for name, array in load_file(path).items()})

    def save(self, path: Path) -> None:
        """Write the network as safetensors of float16, which holds it exactly.

        Args:
            path: The file.
        """
        arrays = {f.name: getattr(self, f.name).astype(np.float16) for f in fields(self)}
        save_file(arrays, path)

    def values(self, observation: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Action values of one observation.

        Args:
            observation: (channels, H, W) image of zeros and one other value.

        Returns:
            (actions,) values.
        """
        size = self.kernel.shape[-1]
        patches = sliding_window_view(observation != 0, (size, size), axis=(1, 2))
        columns = patches.transpose(0, 3, 4, 1, 2).reshape(self.kernel[0].size, -1)
        filters = len(self.kernel)
        maps = self.kernel.reshape(filters, -1) @ columns.astype(np.float64)
        features = np.maximum(maps + self.kernel_bias[:, None], 0.0).reshape(-1)
        hidden = np.maximum(self.hidden @ features + self.hidden_bias, 0.0)
        values: NDArray[np.float64] = self.output @ hidden + self.output_bias
        return values


def epsilon_greedy(
    network: ImageQNetwork,
) -> Callable[[NDArray[Any], float, np.random.Generator], np.int64]:
    """The controller that follows a network, but for some random actions.

    Args:
        network: The network.

    Returns:
        (observation, ε, generator) → an action: uniformly random with probability ε,
        else the first one of the highest value.
    """

    def act(observation: NDArray[Any], noise: float, rng: np.random.Generator) -> np.int64:
        if rng.random() < noise:
            return np.int64(rng.integers(len(network.output)))
        return np.int64(np.argmax(network.values(observation)))

    return act
