"""From the weights that each layer keeps to the widths of a smaller dense network."""

from __future__ import annotations

import math
from collections.abc import Sequence

from offline_prune.errors import InputError

__all__ = ["redundancy", "shrunken_widths"]


def redundancy(kept: int, initial: int) -> float:
    """Fraction of a layer's weights that it can do without.

    Formula: ``r = 1 − kept / initial``.

    Args:
        kept: Weights that are not zero.
        initial: Weights that the layer began with, at least 1.

    Returns:
        r in [0, 1].
    """
    return 1.0 - kept / initial


def shrunken_widths(
    shapes: Sequence[Sequence[int]], kept: Sequence[int], minimum: int = 4
) -> tuple[int, ...]:
    """Widths of the hidden layers with which each layer has about the weights it keeps.

    With P_l the kept weights of layer l, a_l its weights a pair of units (1; the area of
    a convolution's kernel; the area that channels are flattened over), n_in inputs and
    n_out outputs, the width of hidden layer l = 1 … L is estimated from both sides:

    - forward ``f_1 = P_1 / (a_1 · n_in)``, ``f_l = P_l / (a_l · f_{l−1})``;
    - backward ``b_L = P_{L+1} / (a_{L+1} · n_out)``, ``b_l = P_{l+1} / (a_{l+1} · b_{l+1})``.

    The first hidden layer takes the forward estimate, the last one the backward, those
    between, and the only one of a network with a single hidden layer, the mean of both.
    An estimate is brought into [minimum, old width] before the next one is derived from
    it, because no layer will be narrower or wider than that.

    Args:
        shapes: Of the weight tensors, from the observation to the head: ``(out, in)``,
            or ``(out, in, kernel h, kernel w)``.
        kept: Weights that each of them keeps.
        minimum: Smallest width; a layer that was narrower stays as it is.

    Returns:
        One width a hidden layer (units, or filters of a convolution), none above its
        old one.

    Raises:
        InputError: If the layers do not fit one another, or there is no hidden one.

    References:
        Livne, Cohen 2020, arXiv 2001.05012.
    """
    if len(shapes) < 2 or len(kept) != len(shapes):
        raise InputError(
            "Shrinking takes the shapes of at least two layers and one number of kept"
            f" weights each, not {len(shapes)} shapes and {len(kept)} numbers."
        )
    units = [int(shapes[0][1]), *(int(shape[0]) for shape in shapes)]
    per_pair = []
    for number, shape in enumerate(shapes):
        area, rest = divmod(math.prod(shape), units[number] * units[number + 1])
        if rest or not area:
            raise InputError(
                f"Layer {number + 1}, of shape {tuple(shape)}, does not read the"
                f" {units[number]} units before it."
            )
        per_pair.append(area)
    old = units[1:-1]
    forward: list[float] = []
    before = float(units[0])
    for number, width in enumerate(old):
        before = _within(kept[number] / (per_pair[number] * before), minimum, width)
        forward.append(before)
    backward: list[float] = []
    after = float(units[-1])
    for number in reversed(range(len(old))):
        after = _within(kept[number + 1] / (per_pair[number + 1] * after), minimum, old[number])
        backward.insert(0, after)
    means = [(f + b) / 2 for f, b in zip(forward, backward, strict=True)]
    if len(old) > 1:
        means[0], means[-1] = forward[0], backward[-1]
    return tuple(math.floor(width + 0.5) for width in means)


def _within(width: float, minimum: int, old: int) -> float:
    return min(float(old), max(float(minimum), width))
