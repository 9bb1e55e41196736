"""What the four algorithms have in common: mini-batches, and how one is stepped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

__all__ = ["BATCH_SIZE", "GAMMA", "TAU", "Batch", "Losses", "Peer", "sample"]

BATCH_SIZE, GAMMA, TAU = 256, 0.99, 0.005

Losses = dict[str, Any]


class Batch(NamedTuple):
    """Transitions: a mini-batch, or the whole dataset on the device.

    Attributes:
        observations: (n, observation).
        actions: (n, action).
        rewards: (n,).
        next_observations: (n, observation).
        terminals: (n,).
    """

    observations: Any
    actions: Any
    rewards: Any
    next_observations: Any
    terminals: Any


class Peer(NamedTuple):
    """One algorithm.

    Attributes:
        create: Key, size of observations, size of actions → the state.
        draw: Key, size of actions → the noise of one update.
        update: State, mini-batch, noise, number of updates before → state and losses, which
            have d3rlpy's names.
    """

    create: Callable[[Any, int, int], Any]
    draw: Callable[[Any, int], Any]
    update: Callable[[Any, Batch, Any, Any], tuple[Any, Losses]]


def sample(data: Batch, key: Any) -> Batch:
    """Rows drawn with replacement."""
    rows = jax.random.randint(key, (BATCH_SIZE,), 0, len(data.rewards))
    return Batch(*(field[rows] for field in data))
