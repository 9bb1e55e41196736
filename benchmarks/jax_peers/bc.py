"""Behaviour cloning, ``mean (tanh π(s) − a)²``: d3rlpy's BCConfig."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_peers.adam import Moments, adam, no_moments
from jax_peers.networks import mlp, new_mlp
from jax_peers.peer import Batch, Losses, Peer

__all__ = ["PEER", "State"]

LEARNING_RATE = 1e-3


class State(NamedTuple):
    """Parameters and moments."""

    actor: Any
    moments: Moments


def create(key: Any, n_observations: int, n_actions: int) -> State:
    """The state to begin with."""
    actor = new_mlp(key, n_observations, n_actions)
    return State(actor, no_moments(actor))


def draw(key: Any, n_actions: int) -> None:
    """Nothing is drawn."""


def update(state: State, batch: Batch, noise: None, step: Any) -> tuple[State, Losses]:
    """One step."""

    def loss_of(actor: Any) -> Any:
        return jnp.mean((jnp.tanh(mlp(actor, batch.observations)) - batch.actions) ** 2)

    loss, gradient = jax.value_and_grad(loss_of)(state.actor)
    return State(*adam(state.actor, gradient, state.moments, LEARNING_RATE)), {"loss": loss}


PEER = Peer(create, draw, update)
