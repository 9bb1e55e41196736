"""How initial weights and learning rates of a layer follow from the weights it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from offline_prune.base.arguments import finite_number
from offline_prune.base.expression import parse
from offline_prune.errors import InputError, UnknownNameError

__all__ = ["PARAMETERIZATIONS", "STANDARD", "Parameterization", "make_parameterization"]

By = Literal["layer", "unit"]


@dataclass(frozen=True)
class Parameterization:
    """Sparse maximal update parameterization, or none of it.

    A unit that keeps k of its n incoming weights adds up fewer terms: both its
    pre-activation and what a training step changes of it shrink. They keep the size they
    have in the dense network if initial weights are multiplied by ``(n / k)^½`` and steps of
    Adam by ``n / k``. Few-input units are far from the limit of wide layers that this is
    derived for: the steps are multiplied by ``min(cap, (n / k)^exponent)``.

    Layers that keep everything, and biases, are untouched.

    Attributes:
        exponent: Of the step factor of networks that act or imitate; 0 leaves the steps
            alone.
        critic_exponent: The same of critics and value networks.
        cap: Largest step factor.
        by: ``"layer"``: k is the mean over the layer's units that keep anything;
            ``"unit"``: every unit's own.
        initial: Whether initial weights are scaled.

    References:
        Dey, Bergsma, Hestness 2024, arXiv 2405.15743.
    """

    exponent: float = 1.0
    critic_exponent: float = 0.0
    cap: float = 20.0
    by: By = "layer"
    initial: bool = True

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: If exponent or cap is no finite number, the exponent negative or the
                cap below 1.
            UnknownNameError: If ``by`` is neither ``"layer"`` nor ``"unit"``.
        """
        for name, least in (("exponent", 0.0), ("critic_exponent", 0.0), ("cap", 1.0)):
            value = finite_number(f"{name} of a parameterization", getattr(self, name))
            if value < least:
                raise InputError(
                    f"{name} of a parameterization is at least {least:g}, not {value:g}."
                )
            object.__setattr__(self, name, value)
        if self.by not in get_args(By):
            raise UnknownNameError("fan-in of a parameterization", str(self.by), get_args(By))

    def initial_factors(self, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What initial weights are multiplied by.

        Args:
            kept: Weight name → boolean tensor of the weight's shape, true = kept.

        Returns:
            Weight name → (out, 1, …) factor; only layers that lose something.
        """
        ratios = _fan_in_ratios(kept, self.by) if self.initial else {}
        return {name: ratio.sqrt() for name, ratio in ratios.items()}

    def step_factors(
        self, kept: Mapping[str, Tensor], roles: Mapping[str, Sequence[str]]
    ) -> dict[str, Tensor]:
        """What optimizer steps are multiplied by.

        Args:
            kept: Weight name → boolean tensor of the weight's shape, true = kept.
            roles: Role of a network → names of its weights.

        Returns:
            Weight name → (out, 1, …) factor; only layers that lose something and are
            stepped further.
        """
        factors: dict[str, Tensor] = {}
        for role, names in roles.items():
            is_critic = role.startswith(("critic", "value"))
            exponent = self.critic_exponent if is_critic else self.exponent
            if exponent:
                ratios = _fan_in_ratios({name: kept[name] for name in names}, self.by)
                factors |= {n: r.pow(exponent).clamp(max=self.cap) for n, r in ratios.items()}
        return factors


def _fan_in_ratios(kept: Mapping[str, Tensor], by: By) -> dict[str, Tensor]:
    """(out, 1, …) fan-in over kept fan-in, at least one weight, of layers that lose some."""
    found = {}
    for name, mask in kept.items():
        if bool(mask.all()):
            continue
        counts = mask.flatten(1).sum(dim=1).float()
        if by == "layer":
            counts[:] = counts.sum() / (counts > 0).sum().clamp(min=1)
        ratio = mask[0].numel() / counts.clamp(min=1)
        found[name] = ratio.view(-1, *[1] * (mask.dim() - 1))
    return found


STANDARD = Parameterization(exponent=0.0, initial=False)
"""Initial weights and steps as in the dense network."""

PARAMETERIZATIONS: dict[str, Parameterization] = {
    "standard": STANDARD,
    "sparse": Parameterization(),
}
"""Name → parameterization."""


def make_parameterization(text: str) -> Parameterization:
    """Read a parameterization.

    Args:
        text: ``"standard"``, ``"sparse"``, or the latter with arguments:
            ``"sparse(exponent=0.5, cap=10, by='unit')"``.

    Returns:
        The parameterization.

    Raises:
        UnknownNameError: If there is no such parameterization.
        InputError: If an argument does not exist or has a wrong value.
    """
    if not isinstance(text, str):
        raise InputError(f"parameterization is 'standard' or 'sparse', not {type(text).__name__}.")
    found = parse(text, "parameterization", "'sparse(exponent=0.5, cap=10)'")
    if found.name not in PARAMETERIZATIONS:
        raise UnknownNameError("parameterization", found.name, PARAMETERIZATIONS)
    if found.is_name:
        return PARAMETERIZATIONS[found.name]
    plain = found.plain
    try:
        if found.name == "standard":
            raise TypeError("it has none")
        return Parameterization(*plain.arguments, **plain.options)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputError(f"{found.name} does not take these arguments: {error}.") from error
