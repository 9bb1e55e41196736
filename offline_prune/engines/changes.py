"""What every engine changes of an algorithm while it holds a mask."""

from __future__ import annotations

from typing import Any, Protocol

from offline_prune.engines.actor_step import ActorStep
from offline_prune.engines.plain_copies import PlainCopies

__all__ = ["Change", "change"]


class Change(Protocol):
    """Something that was changed, and can be undone."""

    def undo(self) -> None:
        """Leave everything as it was."""


def change(algo: Any) -> list[Change]:
    """Spare the actor's step its waste, and let copies be plain.

    Args:
        algo: A built d3rlpy algorithm.

    Returns:
        What was changed, to be undone.
    """
    actor_step = ActorStep.of(algo)
    copies = PlainCopies(algo)
    return [copies] if actor_step is None else [actor_step, copies]
