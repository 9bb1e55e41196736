"""Layers as 8-bit integers, calibrated on observations: the numbers, not the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["HEADROOM", "IntegerLayer", "integer_layers", "multipliers"]

HEADROOM = 2.0
"""What an input may be, over the largest that was seen, before it saturates. One bit of sixteen;
the weights, which have eight, lose nothing by it."""

_LARGEST = 2**31 - 1
_SPREAD = 16.0  # of a rare input's peak over what counts as its root mean square


@dataclass(frozen=True)
class IntegerLayer:
    """``y = W x + b`` on integers: ``y ≈ scales · (weight q + bias)``, ``q = x / steps`` rounded.

    No sum of a row leaves 32 bits, whatever the inputs are, since those are cut to ±``limit``.

    Attributes:
        weight: (rows, columns) within ±127; each row has a step of its own. Columns of a
            convolution, and of what is behind one: place by place, channels innermost.
        bias: (rows,), in the unit of the row's sum.
        steps: (inputs,) float64: what one of an input's units is worth. Inputs are columns, or
            channels where there are several places.
        limit: Largest ``|q|``, at most 32,767.
        scales: (rows,) float64: what one of a sum's units is worth.
    """

    weight: NDArray[np.int64]
    bias: NDArray[np.int64]
    steps: NDArray[np.float64]
    limit: int
    scales: NDArray[np.float64]


@torch.no_grad()
def integer_layers(layers: Sequence[nn.Module], inputs: Tensor) -> list[IntegerLayer]:
    """Round the layers of a stack that have weights.

    Every input of a layer has a step of its own, in proportion to its root mean square, which is
    multiplied into the weights before these are rounded, a row at a time: a step of a weight is
    then as much of the sum for every input, and it does not matter in which unit an input is.
    Of an image the channels have steps, also where it is flattened.

    Args:
        layers: One after another: linear ones, convolutions, and what is between them.
        inputs: (N, columns) or (N, C, H, W) float32 to calibrate on.

    Returns:
        One for each linear layer and each convolution.
    """
    found, x, image = [], inputs, inputs
    for layer in layers:
        if x.dim() == 4:
            image = x
        if isinstance(layer, nn.Conv2d):
            found.append(_rounded(layer, layer.weight, _pixels(x)))
        elif isinstance(layer, nn.Linear):
            weight, seen = layer.weight, x
            if image.dim() == 4:
                weight, seen = weight.unflatten(1, image.shape[1:]), _pixels(x.view(image.shape))
                image = x
            found.append(_rounded(layer, weight, seen))
        x = layer(x)
    return found


def _pixels(images: Tensor) -> Tensor:
    """(N, C, H, W) → (N · H · W, C)."""
    return images.movedim(1, -1).flatten(0, -2)


def _rounded(layer: nn.Linear | nn.Conv2d, weights: Tensor, inputs: Tensor) -> IntegerLayer:
    weight = weights.detach().double().movedim(1, -1).flatten(1).numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().numpy()
    peak = inputs.abs().amax(dim=0).double().numpy()
    common = np.maximum(inputs.double().square().mean(dim=0).sqrt().numpy(), peak / _SPREAD)
    seen = common[common > 0]
    common[common == 0] = np.median(seen) if len(seen) else 1.0  # what was never seen may come
    reach = common * HEADROOM * float((peak / common).max(initial=1.0))

    worth = weight * np.tile(reach, weight.shape[1] // len(reach))  # of a whole input
    # A bias far above a row's weights would take the bits of all inputs.
    rows = np.maximum(np.abs(worth).max(axis=1, initial=0.0), np.abs(bias) / 64.0 + 1e-30)
    rounded = np.rint(127.0 * worth / rows[:, None]).astype(np.int64)
    # A sum's unit is rows / (127 limit), so that the bias grows with the limit.
    heaviest = np.abs(rounded).sum(axis=1) + 127.0 * np.abs(bias) / rows
    limit = int(min(32_767.0, (_LARGEST - 1) / float(heaviest.max(initial=1.0))))
    limit = max(limit, 1)
    scales = rows / 127.0 / limit
    bias_units = np.clip(np.rint(bias / scales), -_LARGEST, _LARGEST).astype(np.int64)
    return IntegerLayer(rounded, bias_units, reach / limit, limit, scales)


def multipliers(
    scales: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``scales / steps`` as integers: a sum's units to those of the input that it becomes.

    Returns:
        m below 2³¹ and s from 1 to 62, both (rows,): ``q = sum · m / 2^s``, rounded.
    """
    ratio = scales / steps
    exponent = np.frexp(ratio)[1]  # ratio = fraction · 2^exponent, fraction from .5 to 1
    shift = np.clip(31 - exponent, 1, 62)
    whole = np.minimum(np.rint(ratio * 2.0**shift), _LARGEST).astype(np.int64)
    return whole, shift.astype(np.int64)
