"""What holds and prunes an agent has to know of the library that trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from offline_prune.agents.units import Units
from offline_prune.ofenet import OFENet

__all__ = ["Change", "Host", "Stepped", "SteppedBy"]


class Change(Protocol):
    """Something that was changed, and can be undone."""

    def undo(self) -> None:
        """Leave everything as it was."""


class SteppedBy(Protocol):
    """An optimizer of a host.

    Attributes:
        optim: The torch optimizer.
        _params: The parameters that its gradients are clipped over, if they are.
    """

    optim: Optimizer
    _params: list[Any]


@dataclass
class Stepped:
    """An optimizer of a host that is torch's own."""

    optim: Optimizer
    _params: list[Any]

    @classmethod
    def by(cls, optimizer: Optimizer) -> Stepped:
        """With all parameters that it steps.

        Args:
            optimizer: The torch optimizer.
        """
        return cls(optimizer, [p for group in optimizer.param_groups for p in group["params"]])


class Host(Protocol):
    """The library that trains an agent: d3rlpy, or one of :mod:`offline_prune.hosts`.

    Engines, scores and methods ask it these questions and no other; a library that answers
    them has all of them.

    Attributes:
        algo: The library's own object.
    """

    algo: Any

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Name → module: policies, Q functions and targets, one by one."""

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation, as the networks read it."""

    @property
    def ofenet(self) -> OFENet | None:
        """The OFENet whose features the networks read; None without."""
        return None

    @property
    def is_captured(self) -> bool:
        """Whether CUDA graphs hold on to the parameters, so that none may take their place."""
        return False

    def optimizers(self) -> Sequence[SteppedBy]:
        """Those that step the networks."""

    def while_held(self, kept: Mapping[str, Tensor]) -> list[Change]:
        """Change what has to be otherwise while a mask is held.

        Args:
            kept: Weight name → boolean, true = held.
        """
        return []

    def draw_batches(self, data: Any, n_batches: int, seed: int) -> list[Any]:
        """Draw scoring mini-batches, as the losses of the networks take them.

        Args:
            data: What it trains on.
            n_batches: How many.
            seed: Of the draw; no global random state is read or changed.
        """

    def units(self, module: nn.Module, names: Mapping[int, str]) -> Units:
        """The units of one of :attr:`modules` that is no stack of layers.

        Args:
            module: The module.
            names: ``id`` of a weight → the name its mask has.
        """
