"""What every engine does: hold an agent's pruned weights at zero while d3rlpy trains."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from offline_prune.masks.mask import Mask

__all__ = ["Engine"]


class Engine(Protocol):
    """Holds a mask. One file an engine."""

    @property
    def mask(self) -> Mask | None:
        """The mask being held; None while detached."""
        ...

    def attach(self, mask: Mask) -> None:
        """Zero what the mask prunes and keep it zero."""
        ...

    def update(self, mask: Mask) -> None:
        """Hold another mask from now on."""
        ...

    def detach(self) -> None:
        """Let go: plain dense weights of the original shapes, with exact zeros."""
        ...

    def verify(self) -> None:
        """Raise a :class:`~offline_prune.errors.MaskError` unless the mask is held."""
        ...

    def weights(self) -> dict[str, Tensor]:
        """Weight name → its value now, of the original shape, whatever is trained."""
        ...

    def targets(self) -> dict[str, Tensor]:
        """The same for the target networks."""
        ...
