"""Average the weights of the networks that act, while d3rlpy trains the raw ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from offline_prune.agents.networks import acting_modules
from offline_prune.base.arguments import finite_number
from offline_prune.base.expression import parse
from offline_prune.errors import InputError, UnknownNameError
from offline_prune.evaluation.evaluation import Evaluation

__all__ = [
    "NO_AVERAGING",
    "Averaging",
    "LastWeights",
    "WeightAverage",
    "acting_weights",
    "load_acting_weights",
    "make_averaging",
]

_MOST_STEPS = 10
"""Most steps between two weights that are averaged: a copy costs next to nothing then."""


@dataclass(frozen=True)
class Averaging:
    """Which weights are averaged, and how.

    Attributes:
        kind: ``"none"``; ``"tail"``: the mean over the last part of training;
            ``"exponential"``: newer weights count more.
        amount: Of ``"tail"`` the fraction of the steps that counts, in (0, 1]; of
            ``"exponential"`` the decay a step, in (0, 1).
    """

    kind: Literal["none", "tail", "exponential"] = "none"
    amount: float = 0.0

    def __str__(self) -> str:
        """As :func:`make_averaging` reads it."""
        return "none" if self.kind == "none" else f"{self.kind}({self.amount:g})"


NO_AVERAGING = Averaging()
"""The weights that training ends with."""

_KINDS = {
    "none": NO_AVERAGING,
    "tail": Averaging("tail", 0.25),
    "exponential": Averaging("exponential", 0.999),
}


def make_averaging(text: str) -> Averaging:
    """Read an averaging.

    Args:
        text: ``"none"``; ``"tail"`` (the last quarter of training) or ``"tail(0.5)"``;
            ``"exponential"`` (decay .999 a step) or ``"exponential(0.9995)"``.

    Returns:
        The averaging.

    Raises:
        UnknownNameError: If there is no such averaging.
        InputError: If its number is outside its range, or it takes none.
    """
    if not isinstance(text, str):
        raise InputError(
            f"averaging is 'none', 'tail' or 'exponential', not {type(text).__name__}."
        )
    found = parse(text, "averaging", "'tail(0.5)' or 'exponential(0.9995)'")
    if found.name not in _KINDS:
        raise UnknownNameError("averaging", found.name, _KINDS)
    if found.is_name:
        return _KINDS[found.name]
    if found.name == "none" or found.options or len(found.arguments) != 1:
        raise InputError(f"{text!r} is no averaging: 'tail' and 'exponential' take one number.")
    amount = finite_number(f"The number of {found.name}", found.arguments[0])
    whole_is_fine = found.name == "tail"
    if not 0.0 < amount <= 1.0 or (amount == 1.0 and not whole_is_fine):
        what = "fraction of the steps, in (0, 1]" if whole_is_fine else "decay a step, in (0, 1)"
        raise InputError(f"The number of {found.name} is a {what}, not {amount:g}.")
    return Averaging(_KINDS[found.name].kind, amount)


class WeightAverage:
    """The running average of an algorithm's acting networks, in their original shapes.

    Formula: over the weights w after every k-th of n steps, k a hundredth of n from 1 to 10,
    ``tail``: their mean over the last ``amount · n`` steps; ``exponential``:
    ``a ← a + (1 − dᵏ)(w − a)``, from the first of them on, with the decay d. It begins anew
    with every new mask: the mean of weights under two masks obeys neither.

    References:
        Polyak, Juditsky 1992; Izmailov et al. 2018, arXiv 1803.05407.
    """

    def __init__(self, algo: Any, averaging: Averaging, n_steps: int) -> None:
        """Prepare.

        Args:
            algo: A built d3rlpy algorithm.
            averaging: Which weights, and how.
            n_steps: Gradient steps of the run.
        """
        self._algo, self._averaging = algo, averaging
        self._first = n_steps - averaging.amount * n_steps if averaging.kind == "tail" else 0
        self._interval = min(max(1, n_steps // 100), _MOST_STEPS)
        self._mask: object = None
        self._count = 0
        self._mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def after_step(self, mask: object, step: int) -> None:
        """Take the weights after a step in, if it is time.

        Args:
            mask: The mask they obey, compared by identity.
            step: Gradient steps that are done.
        """
        if mask is not self._mask:
            self._mask, self._count, self._mean = mask, 0, {}
        if self._averaging.kind == "none" or step <= self._first or step % self._interval:
            return
        self._count += 1
        share = 1.0 / self._count
        if self._averaging.kind == "exponential" and self._count > 1:
            share = 1.0 - self._averaging.amount**self._interval
        now = acting_weights(self._algo)
        for name, value in now.items():
            if self._count == 1:
                self._mean[name] = value
            else:
                self._mean[name].lerp_(value, share)

    @property
    def weights(self) -> dict[str, Tensor] | None:
        """Name → averaged tensor; None where nothing was averaged."""
        return dict(self._mean) or None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on."""
        return {"count": self._count, "mean": dict(self._mean)}

    def load_state_dict(self, state: Mapping[str, Any], mask: object) -> None:
        """Go on from what :meth:`state_dict` returned, under the same mask."""
        device = self._algo.impl.device
        self._count, self._mask = state["count"], mask
        self._mean = {name: value.to(device) for name, value in state["mean"].items()}


@dataclass(frozen=True)
class LastWeights:
    """What training ended with where the agent acts by an average of its weights.

    Attributes:
        weights: ``field.name`` as in d3rlpy's modules → tensor, of the networks that act.
        evaluation: What the policy of these weights is worth.
    """

    weights: Mapping[str, Tensor]
    evaluation: Evaluation


def acting_weights(algo: Any) -> dict[str, Tensor]:
    """Copy the floating-point weights and buffers of the networks that act.

    Args:
        algo: A built d3rlpy algorithm; whatever engine holds it, shapes are the original
            ones.

    Returns:
        ``field.name`` as in d3rlpy's modules → a new tensor.
    """
    return {
        f"{field}.{name}": value.detach().clone()
        for field, module in acting_modules(algo).items()
        for name, value in module.state_dict().items()
        if isinstance(value, Tensor) and value.is_floating_point() and "_extra_state" not in name
    }


def load_acting_weights(algo: Any, weights: Mapping[str, Tensor]) -> None:
    """Write weights into the networks that act.

    Args:
        algo: A built d3rlpy algorithm that nothing holds.
        weights: As :func:`acting_weights` returned them.
    """
    for field, module in acting_modules(algo).items():
        prefix = f"{field}."
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        module.load_state_dict({**module.state_dict(), **own})
