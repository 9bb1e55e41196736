"""What holds and prunes an agent has to know of the library that trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from offline_prune.ofenet import OFENet

__all__ = ["Change", "Host", "Stepped", "SteppedBy", "Wiring"]


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


@dataclass(frozen=True)
class Wiring:
    """How a module is called, for whoever follows its units through it.

    Attributes:
        inputs: Two rows of each of its inputs.
        heads: Layers whose outputs are the module's; they lose no unit.
    """

    inputs: Sequence[Tensor]
    heads: Sequence[nn.Module]


class Host(Protocol):
    """The library that trains an agent: d3rlpy, or one of :mod:`offline_prune.hosts`.

    Engines, scores and methods ask it these questions and no other; a library that answers
    them has all of them.

    Attributes:
        algo: The library's own object.
    """

    @property
    def algo(self) -> Any:
        """The library's own object."""

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Name → module: policies, Q functions and targets, one by one."""

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """Of one observation, as the networks read it."""

    @property
    def ofenet(self) -> OFENet | None:
        """The OFENet whose features the networks read; None without."""

    @property
    def is_captured(self) -> bool:
        """Whether CUDA graphs hold on to the parameters, so that none may take their place."""

    def optimizers(self) -> Sequence[SteppedBy]:
        """Those that step the networks."""

    def while_held(self) -> list[Change]:
        """Change what has to be otherwise while a mask is held."""

    def draw_batches(self, data: Any, n_batches: int, seed: int) -> list[Any]:
        """Draw scoring mini-batches, as the losses of the networks take them.

        Args:
            data: What it trains on.
            n_batches: How many.
            seed: Of the draw; no global random state is read or changed.
        """

    def wiring(self, module: nn.Module) -> Wiring:
        """How one of :attr:`modules` is called.

        Args:
            module: The module.
        """
