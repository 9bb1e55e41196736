"""What stands before and after the networks of an acting policy: scaling and the rule."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from d3rlpy.preprocessing import (
    MinMaxActionScaler,
    MinMaxObservationScaler,
    PixelObservationScaler,
    StandardObservationScaler,
)
from torch import Tensor, nn

from offline_prune.errors import UnsupportedExportError

__all__ = [
    "ArgmaxRule",
    "ConstrainedArgmaxRule",
    "MeanRule",
    "Rescale",
    "Rule",
    "TanhRule",
    "rescale",
]


class Rescale(nn.Module):
    """``(x − a) / b · c + d``, clipped or not: all scalers of d3rlpy, in its order of computing.

    Attributes:
        a: Scalar or one number a feature, float32; so are ``b``, ``c`` and ``d``.
        low: Of the result, scalar or one number a feature, finite float32; None where it is
            not clipped. ``high`` likewise, and there are both or none.
    """

    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor
    low: Tensor | None
    high: Tensor | None

    def __init__(
        self, a: Any, b: Any, c: Any, d: Any, limits: tuple[Any, Any] | None = None
    ) -> None:
        """Keep the four, and the limits.

        Args:
            a: Subtracted; a number or an array of the shape of one x.
            b: Divides.
            c: Multiplies.
            d: Added.
            limits: Least and largest result; infinite ones become the largest float32.
        """
        super().__init__()
        for name, value in zip("abcd", (a, b, c, d), strict=True):
            self.register_buffer(name, _copied(value))
        largest = torch.finfo(torch.float32).max
        for name, value in zip(("low", "high"), limits or (None, None), strict=True):
            bound = None if value is None else _copied(value).clamp(-largest, largest)
            self.register_buffer(name, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → the same shape."""
        scaled: Tensor = (x - self.a) / self.b * self.c + self.d
        return scaled if self.low is None else scaled.clamp(self.low, self.high)


def rescale(scaler: Any, of: str) -> Rescale | None:
    """What an observation scaler computes, and the reverse of an action scaler.

    Args:
        scaler: One of d3rlpy's, or None.
        of: What it scales, ``"observation"`` or ``"action"``, for the error.

    Returns:
        The same as a module, of actions from [−1, 1]; None for None.

    Raises:
        UnsupportedExportError: If it is another scaler.
    """
    kind = type(scaler)  # one that derives from these may compute something else
    if scaler is None:
        return None
    if kind is PixelObservationScaler:
        return Rescale(0.0, 255.0, 1.0, 0.0)
    if kind is StandardObservationScaler:
        return Rescale(_float32(scaler.mean), _float32(scaler.std) + scaler.eps, 1.0, 0.0)
    if kind in (MinMaxObservationScaler, MinMaxActionScaler):
        low, high = _float32(scaler.minimum), _float32(scaler.maximum)
        if kind is MinMaxObservationScaler:
            return Rescale(low, high - low, 2.0, -1.0)
        return Rescale(-1.0, 2.0, high - low, low)
    raise UnsupportedExportError(
        f"The {of} scaler {kind.__name__} is not one that the exports know: of observations"
        " PixelObservationScaler, MinMax… or Standard…, of actions MinMaxActionScaler. Train"
        " with one of these, or scale outside of d3rlpy."
    )


def _float32(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _copied(values: Any) -> Tensor:
    return torch.as_tensor(values).to("cpu", torch.float32, copy=True)


class MeanRule(nn.Module):
    """``μ``: the mean of a Gaussian policy that is not squashed."""

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, A) → the same."""
        return outputs


class TanhRule(nn.Module):
    """``tanh(μ)``: deterministic policies, and the mean of a Gaussian one.

    Attributes:
        limit: ``μ`` is clipped to ±limit before; None where it is not.
    """

    def __init__(self, limit: float | None = None) -> None:
        """Keep the limit."""
        super().__init__()
        self.limit = limit

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, A) → (B, A) in [−1, 1]."""
        if self.limit is not None:
            outputs = outputs.clamp(-self.limit, self.limit)
        return torch.tanh(outputs)


class ArgmaxRule(nn.Module):
    """``argmax_a mean_i Q_i(s, a)``; of logits where there is one network."""

    def __init__(self, action_size: int) -> None:
        """Keep the number of actions.

        Args:
            action_size: A.
        """
        super().__init__()
        self.action_size = action_size

    def scores(self, outputs: Tensor) -> Tensor:
        """(B, N · A) → (B, A)."""
        scores: Tensor = outputs.unflatten(1, (-1, self.action_size)).mean(dim=1)
        return scores

    def forward(self, outputs: Tensor) -> Tensor:
        """(B, N · A) → (B,) int64."""
        return self.scores(outputs).argmax(dim=1)

    def decides_alike(
        self, outputs: Tensor, first: Tensor, second: Tensor, tolerance: float
    ) -> Tensor:
        """Whether two different actions are a matter of rounding: they score the same.

        Args:
            outputs: (B, outputs) of the networks.
            first: (B,) actions.
            second: (B,) actions.
            tolerance: Relative to the largest score of the row, 1 at least.

        Returns:
            (B,) boolean.
        """
        return _close(self.scores(outputs), first, second, tolerance)


class ConstrainedArgmaxRule(ArgmaxRule):
    """Discrete BCQ: the best action among those that the imitator finds likely.

    Formula: ``argmax_a (Q(a) − min Q + 10⁻⁵) · [log G(a) − max log G > log τ]``, Q the
    mean of the critics and G the imitator's probabilities.

    References:
        Fujimoto et al. 2019, arXiv 1910.01708; d3rlpy's ``DiscreteBCQImpl``.
    """

    def __init__(self, action_size: int, imitator: int, flexibility: float) -> None:
        """Keep sizes and threshold.

        Args:
            action_size: A.
            imitator: Which of the networks' outputs, A a group, are the imitator's.
            flexibility: τ.
        """
        super().__init__(action_size)
        self.imitator = imitator
        self.threshold = math.log(flexibility)

    def scores(self, outputs: Tensor) -> Tensor:
        """(B, N · A) → (B, A); 0 where an action is too unlikely."""
        values, ratio = self._parts(outputs)
        above = values - values.min(dim=1, keepdim=True).values + 1e-5
        scores: Tensor = above * (ratio > self.threshold).float()
        return scores

    def decides_alike(
        self, outputs: Tensor, first: Tensor, second: Tensor, tolerance: float
    ) -> Tensor:
        """Whether the actions score the same, or one of them is at the threshold."""
        values, ratio = self._parts(outputs)
        edge = (ratio - self.threshold).abs() <= tolerance * ratio.abs().clamp(min=1.0)
        rows = torch.arange(len(first))
        at_the_threshold = edge[rows, first] | edge[rows, second]
        return at_the_threshold | _close(values, first, second, tolerance)

    def _parts(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        groups = outputs.unflatten(1, (-1, self.action_size))
        logits = groups[:, self.imitator]
        before, after = groups[:, : self.imitator], groups[:, self.imitator + 1 :]
        values = torch.cat([before, after], dim=1).mean(dim=1)
        return values, logits - logits.max(dim=1, keepdim=True).values


Rule: TypeAlias = MeanRule | TanhRule | ArgmaxRule
"""From the outputs of the networks to the action."""


def _close(scores: Tensor, first: Tensor, second: Tensor, tolerance: float) -> Tensor:
    rows = torch.arange(len(first))
    scale = scores.abs().amax(dim=1).clamp(min=1.0)
    return (scores[rows, first] - scores[rows, second]).abs() <= tolerance * scale
